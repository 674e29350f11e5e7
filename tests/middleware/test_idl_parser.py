"""ddsutil.parse_idl_file: the line format of the observatory's generator, and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ddsutil
import pytest
from ts_dds_cyclone.fields import Field

if TYPE_CHECKING:
    from pathlib import Path

GENUINE_FORM = """\
// SAL_VERSION=6.0.0 XML_VERSION=10.1.0
module Thing {
\t const long Mood_Calm=1;
struct logevent_state_0123abcd {  // @Metadata=(Description="With { and }; and // in it")
\t  long\tThingID;\t//private // @Metadata=(Description="Index; of the thing")
\t  string<8>\tprivate_revCode; //private // @Metadata=(Units="unitless",Description="Code")

\t  unsigned long long\tbig[3]; // @Metadata=(Units="unitless",Description="[2]; <3>")
\t  long long  longer;
\t  unsigned   int small;
\t  octet bytes[ 4 ] ;
\t  char letter;
\t  string text;
\t};
#pragma keylist logevent_state_0123abcd ThingID OtherID // trailing words
\t const long state_X=0x05;
struct other_1 {
\t  boolean value;
\t};
#pragma keylist other_1
};
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "x.idl"
    path.write_text(text)
    return path


def test_genuine_idl_is_parsed(tmp_path: Path) -> None:
    types = ddsutil.parse_idl_file(write(tmp_path, GENUINE_FORM)).types
    assert list(types) == ["Thing::logevent_state_0123abcd", "Thing::other_1"]
    state = types["Thing::logevent_state_0123abcd"]
    assert state.keys == ("ThingID",)
    assert state.fields == (
        Field("ThingID", "long"),
        Field("private_revCode", "string", bound=8),
        Field("big", "unsigned long long", length=3),
        Field("longer", "long long"),
        Field("small", "unsigned int"),
        Field("bytes", "octet", length=4),
        Field("letter", "char"),
        Field("text", "string"),
    )
    assert types["Thing::other_1"].keys == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "no module"),
        ("struct a_1 {\n", 1, "outside of a module"),
        ("module M {\nstruct a_1 {\n\tlong x;\n", 3, "a_1 is not closed"),
        ("module M {\nstruct a_1 {\n\twide x;\n\t};\n", 3, "unknown type 'wide' of field x"),
        ("module M {\nstruct a_1 {\n\tstring x[3];\n\t};\n", 3, "array of strings"),
        (
            "module M {\nstruct a_1 {\n\tsequence<long> x;\n\t};\n",
            3,
            "cannot understand 'sequence<long> x;'",
        ),
        ("module M {\n#pragma keylist a_1 x\n", 2, "a_1, which is not defined"),
    ],
)
def test_parse_errors_name_the_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RuntimeError, match=f"line {line}: .*{message}") as caught:
        ddsutil.parse_idl_file(path)
    assert str(path) in str(caught.value)


def test_unknown_revname_is_an_error(tmp_path: Path) -> None:
    parsed = ddsutil.parse_idl_file(write(tmp_path, GENUINE_FORM))
    with pytest.raises(RuntimeError, match="does not define revname=Thing::nonesuch"):
        ddsutil.make_dds_topic_class(parsed, "Thing::nonesuch")
