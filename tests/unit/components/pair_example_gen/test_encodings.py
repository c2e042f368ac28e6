"""cp1252 is recognized only where no other encoding is likely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.pair_example_gen.reading.encodings import is_western

WESTERN = {
    "French": "u1,Amélie,3\nu2,Le Château ambulant,5\nu3,Les Choristes,4\nu4,La Grande Vadrouille – Été,2\n",
    "German": "u1,Das weiße Band,3\nu2,Die fetten Jahre sind für dich,4\nu3,Übermorgen,5\nu4,Größe,1\n",
    "Spanish": "u1,Los abrazos rotos,3\nu2,Mujeres al borde de un ataque de niñez,4\nu3,¿Quién?,5\nu4,Volvió,2\n",
    "Swedish": "u1,Låt den rätte komma in,3\nu2,Smultronstället,5\nu3,Fanny och Alexander på ö,4\n",
    "Portuguese": "u1,Cidade de Deus não,3\nu2,Corações,5\nu3,Estação,4\n",
}
OTHERS = [
    ("Polish", "Człowiek z żelaza,Zażółć gęślą jaźń,Miś\n", "cp1250"),
    ("Czech", "Příběh,Ostře sledované vlaky,Želary,Vesničko má středisková, děti\n", "cp1250"),
    ("Czech", "Příběh,Ostře sledované vlaky,Želary,Vesničko má středisková, děti\n", "iso8859-2"),
    ("Turkish", "Kış uykusu,Bir Zamanlar Anadoluda,Üç Maymun,Babam ve Oğlum\n", "cp1254"),  # noqa: RUF001
    ("Russian", "Сталкер,Зеркало,Иваново детство\n", "cp1251"),
    ("Russian", "Сталкер,Зеркало,Иваново детство\n", "koi8-r"),
    ("Greek", "Το λιβάδι που δακρύζει\n", "cp1253"),  # noqa: RUF001
    ("Japanese", "七人の侍,羅生門,東京物語\n", "shift-jis"),
    ("Chinese", "霸王别姬,活着\n", "gbk"),
    ("Korean", "올드보이,기생충\n", "euc-kr"),
    ("French", "Amélie,Été\n", "cp437"),
    ("French", "Amélie,Été\n", "mac-roman"),
]


@pytest.mark.parametrize("language", WESTERN)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_western_languages(language: str, encoding: str) -> None:
    text = WESTERN[language].replace("–", "-") * 3
    assert is_western(text.encode(encoding)) == (encoding == "cp1252")


@pytest.mark.parametrize(("language", "text", "encoding"), OTHERS)
def test_other_encodings(language: str, text: str, encoding: str) -> None:
    assert not is_western((text * 20).encode(encoding))


@pytest.mark.parametrize("text", [b"", b"a,b\n", b"caf\xe9,b,1\n", b"\xff\xfe\xfd\xfc", bytes(range(256))])
def test_too_little_or_too_strange(text: bytes) -> None:
    assert not is_western(text)


@given(st.text())
def test_utf_8_is_never_western(text: str) -> None:
    assert not is_western(text.encode(errors="ignore"))
