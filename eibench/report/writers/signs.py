"""Signs beyond ASCII in LaTeX that needs no package: Greek, mathematics, quotes, accents."""

from __future__ import annotations

import unicodedata

_GREEK = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi o pi rho "
_GREEK += "varsigma sigma tau upsilon varphi chi psi omega"
_CAPITALS = (
    "A B Gamma Delta E Z H Theta I K Lambda M N Xi O Pi P \0 Sigma T Upsilon Phi X Psi Omega"
)
_LATIN = "ABEZHIKMNOPTXo"
"""Greek letters that look like these have no command."""
_MATH = {
    "\u00ac": r"\neg",
    "\u00b1": r"\pm",
    "\u00b5": r"\mu",
    "\u00b7": r"\cdot",
    "\u00d7": r"\times",
    "\u00f7": r"\div",
    "\u00b0": r"^{\circ}",
    "\u00aa": r"^{\mathrm{a}}",
    "\u00ba": r"^{\mathrm{o}}",
    "\u00bc": r"\frac{1}{4}",
    "\u00bd": r"\frac{1}{2}",
    "\u00be": r"\frac{3}{4}",
    "\u00ab": r"\ll",
    "\u00bb": r"\gg",
    "\u03d1": r"\vartheta",
    "\u03d5": r"\phi",
    "\u03d6": r"\varpi",
    "\u03f1": r"\varrho",
    "\u03f5": r"\epsilon",
    "\u2020": r"\dagger",
    "\u2021": r"\ddagger",
    "\u2022": r"\bullet",
    "\u2032": "'",
    "\u2033": "''",
    "\u2044": "/",
    "\u2111": r"\Im",
    "\u210f": r"\hbar",
    "\u2113": r"\ell",
    "\u211c": r"\Re",
    "\u2126": r"\Omega",
    "\u2135": r"\aleph",
    "\u2190": r"\leftarrow",
    "\u2191": r"\uparrow",
    "\u2192": r"\rightarrow",
    "\u2193": r"\downarrow",
    "\u2194": r"\leftrightarrow",
    "\u2195": r"\updownarrow",
    "\u2196": r"\nwarrow",
    "\u2197": r"\nearrow",
    "\u2198": r"\searrow",
    "\u2199": r"\swarrow",
    "\u21a6": r"\mapsto",
    "\u21d0": r"\Leftarrow",
    "\u21d2": r"\Rightarrow",
    "\u21d4": r"\Leftrightarrow",
    "\u2200": r"\forall",
    "\u2202": r"\partial",
    "\u2203": r"\exists",
    "\u2205": r"\emptyset",
    "\u2206": r"\Delta",
    "\u2207": r"\nabla",
    "\u2208": r"\in",
    "\u2209": r"\notin",
    "\u220b": r"\ni",
    "\u220f": r"\prod",
    "\u2211": r"\sum",
    "\u2213": r"\mp",
    "\u2215": "/",
    "\u2216": r"\setminus",
    "\u2217": r"\ast",
    "\u2218": r"\circ",
    "\u2219": r"\bullet",
    "\u221a": r"\surd",
    "\u221d": r"\propto",
    "\u221e": r"\infty",
    "\u2220": r"\angle",
    "\u2223": r"\mid",
    "\u2225": r"\parallel",
    "\u2227": r"\wedge",
    "\u2228": r"\vee",
    "\u2229": r"\cap",
    "\u222a": r"\cup",
    "\u222b": r"\int",
    "\u223c": r"\sim",
    "\u2243": r"\simeq",
    "\u2245": r"\cong",
    "\u2248": r"\approx",
    "\u2260": r"\neq",
    "\u2261": r"\equiv",
    "\u2264": r"\leq",
    "\u2265": r"\geq",
    "\u226a": r"\ll",
    "\u226b": r"\gg",
    "\u2282": r"\subset",
    "\u2283": r"\supset",
    "\u2286": r"\subseteq",
    "\u2287": r"\supseteq",
    "\u2295": r"\oplus",
    "\u2296": r"\ominus",
    "\u2297": r"\otimes",
    "\u2299": r"\odot",
    "\u22a4": r"\top",
    "\u22a5": r"\bot",
    "\u22c5": r"\cdot",
    "\u22c6": r"\star",
    "\u22ef": r"\cdots",
    "\u2308": r"\lceil",
    "\u2309": r"\rceil",
    "\u230a": r"\lfloor",
    "\u230b": r"\rfloor",
    "\u25b3": r"\triangle",
    "\u25cb": r"\bigcirc",
    "\u25e6": r"\circ",
    "\u2605": r"\star",
    "\u2713": r"\surd",
    "\u27e8": r"\langle",
    "\u27e9": r"\rangle",
    "\u27f5": r"\longleftarrow",
    "\u27f6": r"\longrightarrow",
    "\u2a7d": r"\leq",
    "\u2a7e": r"\geq",
}
_TEXT = {
    "\u00a0": "~",
    "\u00a1": "!`",
    "\u00a3": r"\pounds{}",
    "\u00a7": r"\S{}",
    "\u00a9": r"\copyright{}",
    "\u00ad": r"\-",
    "\u00ae": r"\textregistered{}",
    "\u00b6": r"\P{}",
    "\u00bf": "?`",
    "\u00c6": r"\AE{}",
    "\u00d8": r"\O{}",
    "\u00df": r"\ss{}",
    "\u00e6": r"\ae{}",
    "\u00f8": r"\o{}",
    "\u0131": r"\i{}",
    "\u0237": r"\j{}",
    "\u0141": r"\L{}",
    "\u0142": r"\l{}",
    "\u0152": r"\OE{}",
    "\u0153": r"\oe{}",
    "\u2010": "-",
    "\u2011": "-",
    "\u2012": "--",
    "\u2013": "--",
    "\u2014": "---",
    "\u2015": "---",
    "\u2018": "`",
    "\u2019": "'",
    "\u201a": ",",
    "\u201c": "``",
    "\u201d": "''",
    "\u201e": ",,",
    "\u2026": r"\dots{}",
    "\u2122": r"\texttrademark{}",
    "\u2212": "$-$",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
    "\u0331": "b",
}
_MATH_ACCENTS = {"\u0301": r"\acute", "\u0300": r"\grave", "\u0308": r"\ddot", "\u0342": r"\tilde"}


def sign(char: str) -> str | None:
    """Return a character beyond ASCII as LaTeX; None where plain LaTeX has no such sign."""
    if char in _TEXT:
        return _TEXT[char]
    if (math := _MATH.get(char) or _greek(char) or _raised(char)) is not None:
        return f"${math}$"
    if char.isspace():
        return " "
    return _accented(char)


def _greek(char: str) -> str | None:
    """Return a Greek letter, with an accent if it has one, as mathematics."""
    for first, names in (("\u03b1", _GREEK), ("\u0391", _CAPITALS)):
        known = names.split(" ")
        if 0 <= (place := ord(char) - ord(first)) < len(known) and known[place] != "\0":
            name = known[place]
            return name if name in _LATIN and name == "o" else _letter(name)
    base, *accents = list(unicodedata.normalize("NFD", char))
    if accents and all(a in _MATH_ACCENTS for a in accents) and (letter := _greek(base)):
        for accent in accents:
            letter = f"{_MATH_ACCENTS[accent]}{{{letter}}}"
        return letter
    return None


def _letter(name: str) -> str:
    return rf"\mathrm{{{name}}}" if name in _LATIN else f"\\{name}"


def _raised(char: str) -> str | None:
    """Return a raised or lowered digit or sign."""
    kind, _, code = unicodedata.decomposition(char).partition(" ")
    place = {"<super>": "^", "<sub>": "_"}.get(kind)
    if place is None or " " in code:
        return None
    base = chr(int(code, 16)).replace("\u2212", "-")
    return f"{place}{{{base}}}" if base in "0123456789+-=()ainx" else None


def _accented(char: str) -> str | None:
    """Return a Latin letter with accents."""
    base, *accents = list(unicodedata.normalize("NFD", char))
    if not accents or not base.isascii() or not all(a in _ACCENTS for a in accents):
        return None
    letter = {"i": r"\i", "j": r"\j"}.get(base, base)
    for accent in accents:
        letter = rf"\{_ACCENTS[accent]}{{{letter}}}"
    return letter
