"""What depends on the knowledge alone is built once per version of it."""

from __future__ import annotations

from dataclasses import dataclass

from calcinosis.per_version import once_per_version


@dataclass
class Content:
    version: str
    words: str


def test_each_version_is_built_once_and_kept_apart() -> None:
    built = []

    @once_per_version
    def first_word(content: Content) -> str:
        built.append(content.version)
        return content.words.split()[0]

    old, new = Content("1", "calcinosis cutis"), Content("2", "calciphylaxis")
    assert [first_word(each) for each in (old, new, old, Content("1", "not read again"))] == [
        "calcinosis", "calciphylaxis", "calcinosis", "calcinosis",
    ]  # fmt: skip
    assert built == ["1", "2"]
    assert first_word.__name__ == "first_word"
