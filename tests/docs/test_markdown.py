"""The parts of a page that `tests.support.markdown` returns."""

from __future__ import annotations

from textwrap import dedent

from tests.support.markdown import Block, anchors, blocks, headings, links, rows, spans


def page(text: str) -> str:
    return dedent(text).lstrip("\n")


def test_block_in_a_list_has_no_indentation_and_the_line_of_its_text() -> None:
    text = page("""
        1. Start it:

           ```sh
           make up
             # indented
           ```

           - and then

             ~~~yaml
             ROOT: {}
             ~~~
        """)

    assert blocks(text) == [
        Block("sh", "make up\n  # indented\n", line=4),
        Block("yaml", "ROOT: {}\n", line=11),
    ]


def test_longer_fence_contains_a_shorter_one() -> None:
    text = page("""
        ````text
        ```sh
        ls
        ```
        ````

        ```{toctree}
        page
        ```
        """)

    assert blocks(text) == [
        Block("text", "```sh\nls\n```\n", line=2),
        Block("{toctree}", "page\n", line=8),
    ]


def test_commands_have_no_comments_prompts_and_output() -> None:
    text = page("""
        ```sh
        # first
        make up      # starts it
        openssl req \\
            -new
        ```

        ```console
        $ ccarchiver status
        no alarms
        ```

        ```text
        make down
        ```
        """)

    assert [block.commands for block in blocks(text)] == [
        ["make up", "openssl req      -new"],
        ["ccarchiver status"],
        [],
    ]


def test_inline_code_is_found_in_each_part_of_a_page_and_joined_to_one_line() -> None:
    text = page("""
        # The command `status`

        Type `ccarchiver
        status --watch`, or ``a `quoted` word``, see [`doctor`](doctor.md).

        | `key` |
        |---|
        | `a\\|b` |

        ```sh
        echo `date`
        ```
        """)

    assert spans(text) == [
        "status",
        "ccarchiver status --watch",
        "a `quoted` word",
        "doctor",
        "key",
        "a|b",
    ]


def test_comment_in_a_block_is_no_heading() -> None:
    text = page("""
        # Title

        ## Part `one`

        ```sh
        # a comment
        ```

            # an indented block

        ## Part [two](two.md)
        """)

    assert headings(text) == ["Title", "Part `one`", "Part [two](two.md)"]
    assert headings(text, 2) == ["Part `one`", "Part [two](two.md)"]
    assert anchors(text) == {"title", "part-one", "part-two"}


def test_anchor_keeps_underscores_and_hyphens_but_no_punctuation() -> None:
    assert anchors("## `redis_read_only`: Redis, read-only?\n") == {
        "redis_read_only-redis-read-only"
    }


def test_links_have_path_and_anchor_and_do_not_come_from_code_or_other_sites() -> None:
    text = page("""
        [page](a.md), [entry](../b/c.md#an-entry), [here](#top), ![image](c.png "title")
        [site](https://example.org/a.md#b), <https://example.org>, `[code](d.md)`
        [by name][e]

        ```text
        [block](f.md)
        ```

        [e]: e.md#größe
        """)

    assert links(text) == [
        ("a.md", ""),
        ("../b/c.md", "an-entry"),
        ("", "top"),
        ("c.png", ""),
        ("e.md", "größe"),
    ]


def test_rows_have_escaped_pipes_and_no_headers() -> None:
    text = page("""
        | name | pattern |
        |---|---|
        | first | `a\\|b` |
        | [second](a.md) | |

        - in a list

          | x |
          |--:|
          | 1 |

        ```text
        | no | table |
        |----|-------|
        | 1  | 2     |
        ```
        """)

    assert rows(text) == [["first", "`a|b`"], ["[second](a.md)", ""], ["1"]]
