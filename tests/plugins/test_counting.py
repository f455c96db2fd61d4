"""Operations of a plugin are counted, or named."""

WORDS = ["cost", "mine.yaml", "--initialised", "--images", 4, "--seeds", 0]


def test_operations_of_a_plugin_are_counted(cli, tutorial):
    done = cli(*WORDS)
    assert done.code == 0 and "rmsnorm" in done.out, done.err


def test_an_unknown_operation_of_a_plugin_is_named(cli, tutorial, broken):
    broken("my_norm.py", ").sqrt()", ").sin()", to="my_norm.py")
    done = cli(*WORDS)
    assert done.code == 1 and "batchnorm" in done.out and "rmsnorm" not in done.out
    assert "conv0.1: cannot count the operations of aten.sin.default" in done.err
