"""The entry point: an interrupt while the command is loaded is no traceback."""

import pytest

from eibench.__main__ import main


def test_an_interrupt_while_it_is_loaded(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("eibench.cli.main", interrupted)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
