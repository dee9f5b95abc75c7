"""`gallery`: reference images that live in a folder, embedded once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from tao_skill.cli.outcome import Outcome
from tao_skill.config.wording import counted

__all__ = ["add_to"]

_EXAMPLES = """examples:
  python -m tao_skill gallery build  --gallery shop --parent-job-id JOB --reference /data/catalogue
  python -m tao_skill gallery add    --gallery shop --label "oat milk" --images new/oat_1.jpg new/oat_2.jpg
  python -m tao_skill gallery query  --gallery shop --images shelf.jpg --topk 3
  python -m tao_skill gallery list   --gallery shop --label "oat milk"
  python -m tao_skill gallery remove --gallery shop --label "oat milk"
  python -m tao_skill run inference  --parent-job-id JOB --data-root /data --overrides inference.gallery=shop
"""
_LISTED = 50


def add_to(commands: Any, parents: Sequence[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gallery",
        help="keep reference images embedded in a folder: build, add, remove, query, info, list",
        description="Keep reference images embedded in a folder. New classes need no training; only new files are "
        "embedded.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=parents,
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, dest="verb")
    build = _verb(verbs, parents, "build", "embed reference images into a new folder", _build)
    _takes_images(build)
    build.add_argument(
        "--overwrite", action="store_true", help="replace the folder's gallery, once the new one is whole"
    )
    _takes_images(_verb(verbs, parents, "add", "add images, embedding only those that are new", _add))
    remove = _verb(verbs, parents, "remove", "remove classes or single images", _remove)
    remove.add_argument("--label", metavar="NAME", nargs="+", default=[], help="classes, all of whose images go")
    remove.add_argument("--image", metavar="FILE", nargs="+", default=[], help="images, by path or SHA-256")
    query = _verb(verbs, parents, "query", "name images by their nearest references", _query)
    query.add_argument("--images", metavar="PATH", nargs="+", required=True, help="images, or folders of images")
    query.add_argument("--topk", type=int, default=1, metavar="K", help="nearest references told of each (default: 1)")
    query.add_argument("--search", choices=["auto", "exact", "ivf"], default="auto", help="how it is searched")
    query.add_argument(
        "--reject-distance", type=float, metavar="D", help="squared distance beyond which an image is unknown"
    )
    _takes_model(query)
    _verb(verbs, parents, "info", "what is in it, and which model it belongs to", _info)
    listed = _verb(verbs, parents, "list", "which images are in it, with their classes", _list)
    listed.add_argument("--label", dest="labels", metavar="NAME", nargs="+", default=[], help="of which classes")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="most images listed (default: 100)")


def _verb(verbs: Any, parents: Sequence[argparse.ArgumentParser], name: str, text: str, call: Any) -> Any:
    verb = verbs.add_parser(name, help=text, parents=parents)
    verb.add_argument("--gallery", metavar="FOLDER", required=True, help="folder of the gallery")
    verb.set_defaults(call=call)
    return verb


def _takes_images(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--reference", metavar="URI", help="folder of class folders, or an archive of one")
    verb.add_argument("--label", metavar="NAME", help="class of --images, in place of --reference")
    verb.add_argument(
        "--images", metavar="PATH", nargs="+", default=[], help="images, or folders of images, of a class"
    )
    _takes_model(verb)


def _takes_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--parent-job-id", metavar="ID", help="job that made the model (default: the gallery's model)")
    verb.add_argument(
        "--parent-checkpoint", metavar="WHICH", default="best", help="best (default), latest, or an epoch from 0"
    )
    verb.add_argument("--force-parent", action="store_true", help="take a parent job that is not COMPLETE")
    verb.add_argument(
        "--results-root", metavar="URI", help="folder of all jobs (default: $TAO_RESULTS_ROOT, ./results)"
    )
    verb.add_argument("--checkpoint", metavar="FILE", help="the model's file, in place of --parent-job-id")
    verb.add_argument(
        "--overrides", metavar="OVERRIDE", nargs="+", action="extend", default=[], help="settings of inference"
    )


_MODEL = ("gallery", "parent_job_id", "parent_checkpoint", "force_parent", "results_root", "checkpoint", "overrides")
_IMAGES = (*_MODEL, "reference", "label", "images")


def _asked(kind: Any, options: argparse.Namespace, names: Sequence[str]) -> Any:
    """Return a request of what was typed."""
    from pydantic import ValidationError

    from tao_skill.cli.progress import show_log
    from tao_skill.errors import Problem, UsageError

    show_log("debug" in options)
    try:
        return kind(**{name: getattr(options, name) for name in names})
    except ValidationError as error:
        problems = [
            Problem(f"--{detail['loc'][0]}".replace("_", "-"), detail.get("input"), detail["msg"])
            for detail in error.errors(include_url=False)
        ]
        raise UsageError(f"gallery {options.verb} can't be done like this.", problems=problems) from error


def _build(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import build
    from tao_skill.run.gallery_requests import GalleryBuild

    return _added(build(_asked(GalleryBuild, options, (*_IMAGES, "overwrite"))))


def _add(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import add
    from tao_skill.run.gallery_requests import GalleryAdd

    return _added(add(_asked(GalleryAdd, options, _IMAGES)))


def _added(document: dict[str, Any]) -> Outcome:
    text = f"{document['added']} images added ({document['embedded']} embedded), {document['known']} were there already"
    return Outcome(document, f"{text}\n{_summary(document)}", message=_warnings(document))


def _remove(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import remove
    from tao_skill.run.gallery_requests import GalleryRemove

    asked = GalleryRemove(gallery=options.gallery, labels=options.label, images=options.image)
    document = remove(asked)
    return Outcome(document, f"{document['removed']} images removed\n{_summary(document)}")


def _query(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import query
    from tao_skill.run.gallery_requests import GalleryQuery

    document = query(_asked(GalleryQuery, options, (*_MODEL, "images", "topk", "search", "reject_distance")))
    lines = []
    for one in document["results"]:
        nearest = ", ".join(f"{match['label']} ({match['distance']:.4g})" for match in one["matches"])
        lines.append(f"{one['path']} -> {one['recognised_as']}: {nearest}")
    searched = document["search"]
    if searched["kind"] != "exact":
        lines.append(f"search: {searched['kind']}, recall {searched['recall']:.4f}; {searched['reason']}")
    return Outcome(document, "\n".join(lines), message=_warnings(document))


def _info(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import info
    from tao_skill.run.gallery_requests import GalleryInfo

    document = info(GalleryInfo(gallery=options.gallery))
    classes = document["classes"]
    lines = [_summary(document), f"  model    {document['model']} ({document['fingerprint'][:12]})"]
    if document["rejection"]:
        lines.append(f"  unknown  beyond a squared distance of {document['rejection']['distance']:.4g}")
    lines += [f"  {count:>6}  {name}" for name, count in list(classes.items())[:_LISTED]]
    if len(classes) > _LISTED:
        lines.append(f"  … and {len(classes) - _LISTED} classes more; --json lists them")
    return Outcome(document, "\n".join(lines))


def _list(options: argparse.Namespace) -> Outcome:
    from tao_skill.run.gallery import listed
    from tao_skill.run.gallery_requests import GalleryList

    document = listed(_asked(GalleryList, options, ("gallery", "labels", "limit")))
    images, count = document["images"], document["num_images"]
    lines = [f"{one['label']}  {one['path']}  {one['sha256']}" for one in images]
    if count > len(images):
        lines.append(f"… and {count - len(images)} images more; --limit {count} lists them")
    return Outcome(document, "\n".join(lines) or f"{document['gallery']} is empty.")


def _summary(document: dict[str, Any]) -> str:
    text = (
        f"{document['gallery']}: {document['num_images']} images of {document['num_classes']} classes, "
        f"{document['embed_dim']}-d, changed {document['changed_at']}"
    )
    shared = document["images_of_several_classes"]
    if shared["count"]:
        told = counted(shared["count"], "image is", "images are")
        names = " = ".join(shared["some"][0])
        text += f"\n{told} there under several class names, such as {names}; remove those that are wrong or old: "
        text += "gallery remove --label"
    return text


def _warnings(document: dict[str, Any]) -> str:
    return "\n".join(f"warning: {warning}" for warning in document["warnings"])
