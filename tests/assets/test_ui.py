"""What people see: values that can be read."""

from melgraph.assets.ui import markdown_table


def test_a_table_holds_names_as_they_are():
    rows = [
        {"path": "a|b/*c* <i>_d_ [x](y)\n~.flac", "artist": None, "seconds": 1 / 3},
        {"path": "plain.flac", "artist": "Trio", "seconds": 4.0},
    ]
    header, rule, first, second = markdown_table(rows).value.splitlines()
    assert header == "| path | artist | seconds |"
    assert rule == "| --- | --- | --- |"
    assert first == r"| a\|b/\*c\* \<i\>\_d\_ \[x\](y) \~.flac | - | 0.3333 |"
    assert second == "| plain.flac | Trio | 4.0 |"


def test_a_table_of_nothing_says_so():
    assert markdown_table([]).value == "(none)"
