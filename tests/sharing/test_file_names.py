import pytest

from monai_ext.sharing.file_names import name_problems


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *(("../a", "leaves-folder"), ("/a", "leaves-folder"), ("a\\b", "leaves-folder"), ("C:/a", "leaves-folder")),
        *(("a//b", "odd-path"), ("./a", "odd-path"), ("a/" * 9 + "b", "odd-path"), ("a" * 201, "odd-path")),
        *((".git/hooks/x", "git-file"), (".gitattributes", "git-file"), ("a/.env", "hidden-file")),
        *(("a.", "odd-name"), ("a ", "odd-name"), ("nul", "odd-name"), ("COM1.txt", "odd-name")),
        *(("mod\u0435l.pt", "odd-name"), ("a\u202eb", "odd-name"), ("a\x00b", "odd-name"), ("a\nb", "odd-name")),
    ],
)
def test_a_name_that_can_mislead_is_refused(name: str, rule: str) -> None:
    assert [problem.rule for problem in name_problems([name])] == [rule]


@pytest.mark.parametrize(
    "names", [("a", "A"), ("model.pt", "mode1.pt"), ("form.md", "forrn.md"), ("io.md", "l0.md"), ("w.md", "vv.md")]
)
def test_two_names_for_the_eye_of_one_are_refused(names: tuple[str, str]) -> None:
    assert [problem.rule for problem in name_problems(names)] == ["look-alike-name"]


def test_the_names_of_bundles_pass() -> None:
    names = [
        "LICENSE",
        "configs/multi_gpu_train.json",
        "docs/data_license.txt",
        "wheels/monai_ext-0.1.0-py3-none-any.whl",
    ]
    assert name_problems(names) == []
    assert [problem.rule for problem in name_problems(["a", "a"])] == ["duplicate-name"]
    assert [problem.rule for problem in name_problems(["a", "a/b"])] == ["duplicate-name"]
