"""What the papers print themselves, to lie beside a table of ours; nothing here was measured by us.

Marks: S, from the paper's pages or its official code; D, derived by running that code; U, unknown:
no source that could be read has the number. Values are as printed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from avkd.errors import UnknownNameError


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table of a paper."""

    title: str
    mark: str
    """S, D or U, and where from."""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """None of an unknown table."""

    @property
    def is_unknown(self) -> bool:
        """Whether no number could be found."""
        return not self.rows


_ESC_SOURCE = "S, tables of the NIPS 2016 paper; accuracy in percent"
_MKE = "MKE (Xue et al., ICCV 2021)"

SOUNDNET = (
    PaperTable(
        title="SoundNet (Aytar et al., NIPS 2016), linear classifier on sounds",
        mark=_ESC_SOURCE,
        header=("row", "ESC-50", "ESC-10"),
        rows=(
            ("SVM on MFCC", "39.6", "67.5"),
            ("convolutional autoencoder", "39.9", "74.3"),
            ("random forest", "44.3", "72.7"),
            ("Piczak's ConvNet", "64.5", "81.0"),
            ("SoundNet", "74.2", "92.2"),
            ("human", "81.3", "95.7"),
        ),
    ),
    PaperTable(
        title="SoundNet's ablations (pool5, VGG teachers)",
        mark=_ESC_SOURCE,
        header=("row", "ESC-50", "ESC-10"),
        rows=(
            ("8 layers, L2", "47.8", "81.5"),
            ("8 layers, KL", "72.9", "92.2"),
            ("teacher ImageNet only", "69.5", "89.8"),
            ("teacher Places only", "71.1", "89.5"),
            ("both teachers", "72.9", "92.2"),
            ("5 layers, from scratch", "65.0", "82.3"),
            ("8 layers, from scratch", "51.1", "75.5"),
            ("5 layers, with video", "66.1", "86.8"),
            ("8 layers, with video", "72.9", "92.2"),
        ),
    ),
)
MKE = (
    PaperTable(
        title=f"{_MKE}, TwoMoon, mean of ten seeds",
        mark="S, outputs saved in the official notebook; the teacher from its figure; percent",
        header=("row", "accuracy"),
        rows=(
            ("teacher", "69.5"),
            ("uni-modal student", "72.4"),
            ("multi-modal student", "77.7"),
            ("multi-modal, supervised", "87.6"),
        ),
    ),
    PaperTable(
        title=f"{_MKE}, TwoMoon, the official code run again",
        mark="D, torch on a CPU, ten seeds; mean (sd), percent",
        header=("row", "accuracy"),
        rows=(
            ("teacher", "69.5"),
            ("uni-modal student", "72.4 (0.4)"),
            ("multi-modal student", "77.7 (0.7)"),
            ("multi-modal, supervised", "87.6 (0.4)"),
        ),
    ),
    PaperTable(
        title=f"{_MKE}, NYU-Depth-v2",
        mark="S, a public leaderboard's dump (secondary); mean IoU in percent, other rows unknown",
        header=("row", "mIoU"),
        rows=(("MKE", "48.88"),),
    ),
    PaperTable(title=f"{_MKE}, RAVDESS and the event sets", mark="U"),
)
MUTUAL = (
    PaperTable(
        title="Mutual learning (Yin et al., AAAI 2021), DCASE 2017 and 2018",
        mark="U; the abstract says only that one-way transfer is unsatisfactory and mutual better",
    ),
)
THREE_LEVEL = (
    PaperTable(title="Three-level verification (Zhang, Chen and Qian, Interspeech 2021)", mark="U"),
)
PAPERS = {"soundnet": SOUNDNET, "mke": MKE, "mutual": MUTUAL, "three_level": THREE_LEVEL}
"""By the beginning of the recipes' names."""


def find_paper(recipe: str) -> tuple[PaperTable, ...]:
    """The tables of the paper that a recipe follows.

    Raises:
        UnknownNameError: The recipe follows none.
    """
    for name, tables in PAPERS.items():
        if recipe.replace("-", "_").startswith(name):
            return tables
    raise UnknownNameError("paper of recipe", recipe, PAPERS)


def find_papers(recipes: Sequence[str]) -> tuple[PaperTable, ...]:
    """The tables of all papers that some recipes follow, each once."""
    known = [name for name in recipes if name.replace("-", "_").startswith(tuple(PAPERS))]
    return tuple(dict.fromkeys(table for name in known for table in find_paper(name)))
