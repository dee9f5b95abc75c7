"""The `train.loss` and `train.miner` sections: what is minimised, and over which pairs of images."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, Effect, effect_facts, parameter

__all__ = ["COMPARES_IMAGES", "HAS_WEIGHTS", "LOSSES_WITHOUT_MINER", "LOSSES_WITH_WEIGHTS", "Loss", "Miner"]

# Losses that compare an image with learned class vectors, not with other images.
LOSSES_WITH_WEIGHTS = ("arcface", "subcenter_arcface", "proxy_anchor", "soft_triple")
# Losses that weigh all pairs by their hardness themselves: mining takes away what they learn from.
LOSSES_WITHOUT_MINER = ("supcon", "ntxent", "circle")
_PAIR_LOSSES = ("triplet", "contrastive", "multi_similarity", "supcon", "ntxent", "circle")
HAS_WEIGHTS = Effect(
    "train.loss.name", "train.loss.name = {value} has no weights of its own", values=LOSSES_WITH_WEIGHTS
)
COMPARES_IMAGES = Effect(
    "train.loss.name",
    "train.loss.name = {value} compares images with class vectors, not with images",
    values=_PAIR_LOSSES,
)
_MINES_TRIPLETS = Effect("train.miner.name", "train.miner.name = {value} decides", values=("triplet_margin",))


def _while_chosen(loss: str) -> dict[str, Any]:
    return effect_facts(Effect("train.loss.name", "train.loss.name = {value} decides", values=(loss,)))


@dataclass(config=SECTION)
class Contrastive:
    """Contrastive loss of pairs (Hadsell et al. 2006), in L2 distances of unit vectors."""

    positive_margin: Annotated[
        float,
        parameter("Distance up to which images of one class lose nothing.", title="Positive margin", ge=0.0, le=2.0),
    ] = 0.0
    negative_margin: Annotated[
        float,
        parameter("Distance from which images of two classes lose nothing.", title="Negative margin", gt=0, le=2.0),
    ] = 1.0


@dataclass(config=SECTION)
class MultiSimilarity:
    """Multi-similarity loss (Wang et al. 2019), in cosine similarities."""

    alpha: Annotated[
        float, parameter("Sharpness with which hard positives outweigh easy ones.", title="Alpha", gt=0, le=1000.0)
    ] = 2.0
    beta: Annotated[
        float, parameter("Sharpness with which hard negatives outweigh easy ones.", title="Beta", gt=0, le=1000.0)
    ] = 50.0
    base: Annotated[
        float, parameter("Similarity that should separate positives from negatives.", title="Base", ge=-1.0, le=1.0)
    ] = 0.5


@dataclass(config=SECTION)
class SupCon:
    """Supervised contrastive loss (Khosla et al. 2020)."""

    temperature: Annotated[
        float,
        parameter(
            "Divisor of the cosine similarities; low values look at hard pairs.", title="Temperature", gt=0, le=10
        ),
    ] = 0.1


@dataclass(config=SECTION)
class NTXent:
    """Normalised temperature-scaled cross-entropy of each positive pair (Sohn 2016; Chen et al. 2020)."""

    temperature: Annotated[
        float,
        parameter(
            "Divisor of the cosine similarities; low values look at hard pairs.", title="Temperature", gt=0, le=10
        ),
    ] = 0.07


@dataclass(config=SECTION)
class Circle:
    """Circle loss (Sun et al. 2020)."""

    relaxation: Annotated[
        float,
        parameter("Relaxation m: how far from 1 and 0 similarities may stay.", title="Relaxation", gt=0, le=1.0),
    ] = 0.4
    scale: Annotated[float, parameter("Factor gamma on the similarities.", title="Scale", gt=0, le=1024.0)] = 80.0


@dataclass(config=SECTION)
class ArcFace:
    """Additive angular margin loss (Deng et al. 2019): a classifier of directions, one learned vector a class."""

    margin: Annotated[
        float,
        parameter("Angle added between an image and its class vector, in degrees.", title="Margin", ge=0.0, le=90.0),
    ] = 28.6
    scale: Annotated[float, parameter("Factor on the cosines.", title="Scale", gt=0, le=1024.0)] = 64.0


@dataclass(config=SECTION)
class SubcenterArcFace(ArcFace):
    """ArcFace with several vectors a class, of which the nearest counts (Deng et al. 2020)."""

    sub_centers: Annotated[
        int, parameter("Vectors of each class.", title="Sub-centres", ge=1, le=64, kept_on_resume=True)
    ] = 3


@dataclass(config=SECTION)
class ProxyAnchor:
    """Proxy-anchor loss (Kim et al. 2020): one learned proxy a class, compared with all images of a batch."""

    margin: Annotated[float, parameter("Margin on the cosine similarities.", title="Margin", ge=0.0, le=1.0)] = 0.1
    alpha: Annotated[
        float, parameter("Sharpness with which hard images outweigh easy ones.", title="Alpha", gt=0, le=1024.0)
    ] = 32.0


@dataclass(config=SECTION)
class SoftTriple:
    """SoftTriple loss (Qian et al. 2019): a classifier with several learned centres a class."""

    centers_per_class: Annotated[
        int, parameter("Centres of each class.", title="Centres of a class", ge=1, le=64, kept_on_resume=True)
    ] = 10
    scale: Annotated[float, parameter("Factor lambda on the similarities.", title="Scale", gt=0, le=1024.0)] = 20.0
    temperature: Annotated[
        float, parameter("Temperature gamma of the choice among a class's centres.", title="Temperature", gt=0, le=10.0)
    ] = 0.1
    margin: Annotated[float, parameter("Margin delta on the cosine similarities.", title="Margin", ge=0.0, le=1.0)] = (
        0.01
    )


@dataclass(config=SECTION)
class Loss:
    """What is minimised."""

    name: Annotated[
        Literal[
            "triplet",
            "contrastive",
            "multi_similarity",
            "supcon",
            "ntxent",
            "circle",
            "arcface",
            "subcenter_arcface",
            "proxy_anchor",
            "soft_triple",
        ],
        parameter(
            "Loss: over triplets or pairs of images, or (arcface, subcenter_arcface, proxy_anchor, soft_triple) over "
            "images and learned vectors of the training classes. Each reads the section of its name; triplet reads "
            "train.optim.triplet_loss_margin and train.smooth_loss.",
            title="Loss",
            tao_type="categorical",
            popular=True,
            kept_on_resume=True,
        ),
    ] = "triplet"
    contrastive: Contrastive = Field(
        default_factory=Contrastive,
        title="Contrastive",
        description="Margins of the contrastive loss.",
        json_schema_extra=_while_chosen("contrastive"),
    )
    multi_similarity: MultiSimilarity = Field(
        default_factory=MultiSimilarity,
        title="Multi-similarity",
        description="Weights of the multi-similarity loss.",
        json_schema_extra=_while_chosen("multi_similarity"),
    )
    supcon: SupCon = Field(
        default_factory=SupCon,
        title="SupCon",
        description="The supervised contrastive loss.",
        json_schema_extra=_while_chosen("supcon"),
    )
    ntxent: NTXent = Field(
        default_factory=NTXent,
        title="NT-Xent",
        description="The NT-Xent loss.",
        json_schema_extra=_while_chosen("ntxent"),
    )
    circle: Circle = Field(
        default_factory=Circle,
        title="Circle",
        description="The circle loss.",
        json_schema_extra=_while_chosen("circle"),
    )
    arcface: ArcFace = Field(
        default_factory=ArcFace,
        title="ArcFace",
        description="Margin and scale of ArcFace.",
        json_schema_extra=_while_chosen("arcface"),
    )
    subcenter_arcface: SubcenterArcFace = Field(
        default_factory=SubcenterArcFace,
        title="Sub-centre ArcFace",
        description="Sub-centre ArcFace.",
        json_schema_extra=_while_chosen("subcenter_arcface"),
    )
    proxy_anchor: ProxyAnchor = Field(
        default_factory=ProxyAnchor,
        title="Proxy anchor",
        description="The proxy-anchor loss.",
        json_schema_extra=_while_chosen("proxy_anchor"),
    )
    soft_triple: SoftTriple = Field(
        default_factory=SoftTriple,
        title="SoftTriple",
        description="The SoftTriple loss.",
        json_schema_extra=_while_chosen("soft_triple"),
    )


@dataclass(config=SECTION)
class Miner:
    """Which pairs or triplets of a batch the loss sees; where a miner finds none, it sees all."""

    name: Annotated[
        Literal["multi_similarity", "triplet_margin", "batch_hard", "none"],
        parameter(
            "Miner: pairs that are hard beside the other pairs of their anchor (multi_similarity reads "
            "train.optim.miner_function_margin; under the triplet loss it takes all pairs of a batch whose average "
            "triplet still breaks the margin), triplets that break a margin, each anchor's hardest positive and "
            "negative, or all. "
            "Follows train.loss.name where only that is given: none for supcon, ntxent and circle.",
            title="Miner",
            tao_type="categorical",
            popular=True,
        ),
    ] = "multi_similarity"
    triplet_kind: Annotated[
        Literal["hard", "semihard", "all"],
        parameter(
            "Triplets that triplet_margin keeps: negative nearer than the positive, farther but within the margin, "
            "or both.",
            title="Kind of triplets",
            effect=_MINES_TRIPLETS,
            tao_type="categorical",
        ),
    ] = "all"
    triplet_margin: Annotated[
        float,
        parameter(
            "Distance by which a negative must be farther than the positive not to be mined by triplet_margin "
            "(unit vectors, L2).",
            title="Margin of mined triplets",
            effect=_MINES_TRIPLETS,
            ge=0.0,
            le=2.0,
        ),
    ] = 0.2
