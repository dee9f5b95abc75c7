"""The `dataset` section, in the three sizes that actions need."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from tao_skill.config.parameter import SECTION, parameter

__all__ = ["ColorAugmentation", "GaussianBlur", "Pixels", "RetrievalData", "TrainData", "ValDataset"]


@dataclass(config=SECTION)
class GaussianBlur:
    """Random blur of training images."""

    enabled: Annotated[bool, parameter("Blur training images.", title="Enabled")] = True
    kernel: Annotated[
        list[Annotated[int, Field(ge=1)]],
        parameter(
            "Width and height of the blur kernel, in pixels; odd, at most the input's size.",
            title="Kernel",
            automl=False,
            depends_on="model.input_height,model.input_width",
            min_length=2,
            max_length=2,
            tao_type="list_3",
        ),
    ] = Field(default_factory=lambda: [15, 15])
    sigma: Annotated[
        list[Annotated[float, Field(gt=0)]],
        parameter(
            "Smallest and largest standard deviation of the blur, in pixels.",
            title="Sigma",
            automl=False,
            min_length=2,
            max_length=2,
        ),
    ] = Field(default_factory=lambda: [0.3, 0.7])


@dataclass(config=SECTION)
class ColorAugmentation:
    """Random change of colours of training images."""

    enabled: Annotated[bool, parameter("Change the colours of training images.", title="Enabled")] = True
    brightness: Annotated[
        float,
        parameter("Brightness is multiplied by 1 ± up to this share.", title="Brightness", ge=0.0, le=2.0),
    ] = 0.5
    contrast: Annotated[
        float, parameter("Contrast is multiplied by 1 ± up to this share.", title="Contrast", ge=0.0, le=2.0)
    ] = 0.3
    saturation: Annotated[
        float,
        parameter("Saturation is multiplied by 1 ± up to this share.", title="Saturation", ge=0.0, le=2.0),
    ] = 0.1
    hue: Annotated[
        float, parameter("Hue is turned by up to this share of the colour circle.", title="Hue", ge=0, le=0.5)
    ] = 0.1


@dataclass(config=SECTION)
class ValDataset:
    """The two image sets of a retrieval task, each a folder of class folders."""

    reference: Annotated[
        str, parameter("Reference images (the gallery): a folder of class folders.", title="Reference images")
    ] = ""
    query: Annotated[
        str,
        parameter(
            "Query images, whose class is looked up in the reference: a folder of class folders.",
            title="Query images",
        ),
    ] = ""


@dataclass(config=SECTION)
class Pixels:
    """How pixel values become numbers."""

    pixel_mean: Annotated[
        list[float],
        parameter(
            "Mean of each channel, red, green, blue, of values from 0 to 1, subtracted from the pixels.",
            title="Pixel mean",
            automl=False,
            min_length=1,
            max_length=3,
        ),
    ] = Field(default_factory=lambda: [0.485, 0.456, 0.406])
    pixel_std: Annotated[
        list[Annotated[float, Field(gt=0)]],
        parameter(
            "Standard deviation of each channel, by which the pixels are divided.",
            title="Pixel standard deviation",
            automl=False,
            min_length=1,
            max_length=3,
        ),
    ] = Field(default_factory=lambda: [0.226, 0.226, 0.226])


@dataclass(config=SECTION)
class RetrievalData(Pixels):
    """What evaluation and inference read."""

    val_dataset: ValDataset = Field(
        default_factory=ValDataset, title="Validation data", description="Reference and query images."
    )
    class_map: Annotated[
        str | None,
        parameter("YAML file that maps folder names to class names.", title="Class map"),
    ] = None
    workers: Annotated[
        int,
        parameter(
            "Threads that load images; never more than the process has processors, nor, without a GPU, than "
            "OMP_NUM_THREADS says.",
            title="Workers",
            ge=0,
        ),
    ] = 8
    on_bad_image: Annotated[
        Literal["error", "skip"],
        parameter(
            "What happens to images that can't be decoded: stop before anything starts, or skip and name them.",
            title="Bad images",
            tao_type="categorical",
        ),
    ] = "error"


@dataclass(config=SECTION)
class TrainData(RetrievalData):
    """What training reads beside that: its images, how they are drawn and how they are changed."""

    train_dataset: Annotated[
        str | None, parameter("Training images: a folder of class folders.", title="Training images")
    ] = ""
    prob: Annotated[
        float,
        parameter("Probability of a horizontal flip.", title="Flip probability", ge=0.0, le=1.0, math_cond="> 0.0"),
    ] = 0.5
    re_prob: Annotated[
        float,
        parameter(
            "Probability that a random rectangle is erased.",
            title="Erasing probability",
            ge=0.0,
            le=1.0,
            math_cond="> 0.0",
        ),
    ] = 0.5
    gaussian_blur: GaussianBlur = Field(
        default_factory=GaussianBlur, title="Gaussian blur", description="Random blur of training images."
    )
    color_augmentation: ColorAugmentation = Field(
        default_factory=ColorAugmentation,
        title="Colour augmentation",
        description="Random change of colours.",
    )
    random_rotation: Annotated[
        bool,
        parameter("Rotate training images by a random angle from 0 to 180 degrees.", title="Random rotation"),
    ] = False
    pixel_cache_gb: Annotated[
        float,
        parameter(
            "Gigabytes of decoded images that all trainings together keep in the cache folder, so that no epoch and no "
            "later training decodes them again; 0 keeps none.",
            title="Pixel cache",
            ge=0.0,
            automl=False,
        ),
    ] = 4.0
    num_instance: Annotated[
        int,
        parameter("Images of each class in a batch (the K of P×K sampling).", title="Instances per class", ge=1),
    ] = 4
