"""What is asked of a gallery: one request for each verb, from the shell or another caller."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "GalleryAdd",
    "GalleryBuild",
    "GalleryInfo",
    "GalleryList",
    "GalleryQuery",
    "GalleryRemove",
    "GalleryWithModel",
]

# Composed, as the names of class folders are read: what a Mac's shell hands over is another spelling of the same.
ClassName = Annotated[str, AfterValidator(lambda name: unicodedata.normalize("NFC", name))]


class GalleryInfo(BaseModel):
    """Which gallery is meant."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    gallery: str = Field(description="Folder of the gallery.")


class GalleryRemove(GalleryInfo):
    """What leaves a gallery."""

    labels: list[ClassName] = Field(default_factory=list, description="Classes, all of whose images go.")
    images: list[str] = Field(default_factory=list, description="Single images, by path or SHA-256.")


class GalleryList(GalleryInfo):
    """Which images of a gallery are listed."""

    labels: list[ClassName] = Field(default_factory=list, description="Classes whose images are meant; empty: all.")
    limit: int = Field(default=100, ge=1, description="Most images that are listed.")


class GalleryWithModel(GalleryInfo):
    """The model that embeds; left out, it is the one that the gallery was built with."""

    parent_job_id: str | None = Field(default=None, description="Job that made the model.")
    parent_checkpoint: str = Field(default="best", description="best, latest, or an epoch, counted from 0.")
    force_parent: bool = Field(default=False, description="Take a parent job that is not COMPLETE.")
    results_root: str | None = Field(
        default=None, description="Folder of all jobs; null means $TAO_RESULTS_ROOT, or ./results."
    )
    checkpoint: str | None = Field(default=None, description="The model's file: checkpoint, ONNX file or engine.")
    skill: str | None = Field(default=None, description="Name of the skill; null means the recognition skill.")
    overrides: list[str | dict[str, Any]] = Field(
        default_factory=list, description="Settings of inference that differ, such as inference.batch_size=64."
    )


class GalleryAdd(GalleryWithModel):
    """Images for a gallery: a folder of class folders, or images of one class."""

    reference: str | None = Field(default=None, description="Folder of class folders, or an archive of one.")
    label: ClassName | None = Field(default=None, description="Class of the images, in place of reference.")
    images: list[str] = Field(default_factory=list, description="Images, or folders of images, of that class.")


class GalleryBuild(GalleryAdd):
    """A new gallery."""

    overwrite: bool = Field(default=False, description="Replace the folder's gallery, once the new one is whole.")


class GalleryQuery(GalleryWithModel):
    """Images to look up in a gallery."""

    images: list[str] = Field(min_length=1, description="Images, or folders of images.")
    topk: int = Field(default=1, ge=1, description="Nearest references that are told of each image.")
    search: Literal["auto", "exact", "ivf"] = Field(
        default="auto", description="How it is searched; auto is an index beyond 100,000 images."
    )
    reject_distance: float | None = Field(
        default=None,
        ge=0,
        le=4,
        description="Squared distance beyond which an image is unknown; null: the model's own.",
    )
