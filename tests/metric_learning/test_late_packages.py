"""What is imported late is whole for whoever asks, and a training that asks for little imports little."""

import json
import subprocess
import sys
from pathlib import Path

from tools.bench.pictures import make_classes

_LATE = "from tao_skill.metric_learning.late_packages import make_packages_late\nmake_packages_late()\n"
# What a training of a residual network has no use for until its first step, and in it.
NOT_NEEDED = {
    "torch._inductor",
    "sklearn",
    "pandas",
    "scipy.signal",
    "torchvision.io",
    "wandb",
    "httpx",
    "sympy",
    "triton",
}


def _run(program: str, *words: str) -> str:
    answer = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_late_package_is_whole_once_it_is_asked() -> None:
    program = f"""{_LATE}
import sys, types, torch
import pytorch_lightning as pl, pytorch_metric_learning.losses, timm
from pytorch_lightning.core.module import Metric
from lightning_fabric.wrappers import OptimizedModule
network = torch.nn.Linear(2, 2)
late = {{name for name, module in sys.modules.items() if type(module).__name__ == "_LateModule"}}
assert {{"torch._dynamo", "torchmetrics"}} <= late, late
assert not isinstance(network, OptimizedModule)
import torchmetrics, torchvision, scipy.stats, torch._dynamo.eval_frame
assert torchmetrics.Metric is Metric and torchmetrics.Accuracy
assert torchvision.ops.nms and torchvision.transforms.Resize
assert scipy.stats.rankdata([3.0, 1.0]).tolist() == [2.0, 1.0]
assert isinstance(torch.compile(network), OptimizedModule) and not isinstance(network, OptimizedModule)
assert len(timm.list_models()) > 500 and timm.create_model("test_vit", num_classes=0)
for name in ("torchmetrics", "torchvision", "scipy.stats", "torch._dynamo", "timm", "timm.models"):
    assert type(sys.modules[name]) is types.ModuleType, name
try:
    torchvision.nothing_of_that_name
except AttributeError:
    print("as it should be")
"""
    assert _run(program).strip() == "as it should be"


def test_a_package_that_is_imported_already_stays_as_it_is() -> None:
    program = f"import sys, types, scipy.stats\n{_LATE}import scipy.stats\nprint(type(scipy.stats) is types.ModuleType)"
    assert _run(program).strip() == "True"


def test_a_training_imports_only_what_it_needs(tmp_path: Path) -> None:
    images = make_classes(tmp_path / "train", 4, 4, 32, 32)
    program = (
        "import json, sys\nfrom tao_skill.cli.ml_recog import main\ncode = main(sys.argv[1:])\n"
        "print(json.dumps(list(sys.modules))) if code == 0 else sys.exit(code)"
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"results_dir: {tmp_path}/results\nwandb: {{enable: false}}\n"
        "model: {timm_name: resnet10t, input_width: 32, input_height: 32}\n"
        "train: {batch_size: 8, num_epochs: 1}\n"
        f"dataset:\n  train_dataset: {images}\n  val_dataset: {{reference: {images}, query: {images}}}\n"
    )
    said = _run(program, "train", "-e", str(spec))
    imported = set(json.loads(said.splitlines()[-1]))
    assert not NOT_NEEDED & imported
    assert len([name for name in imported if name.startswith("timm.models.")]) < 20
