"""Reduced precision is told by experiment: the cause names the switch that takes the residual away."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from zoo.case import drawn
from zoo.odd import norms

from equiwm.audit.audit import audit
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult
from equiwm.audit.switches import all_of, casts_kept, switches, without_autocast
from equiwm.cli.main import run
from equiwm.errors import DataError, EquiwmError


def tf32(a: Tensor) -> Tensor:
    """With the ten bits of mantissa that tensor cores keep."""
    return (a.float().view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


def tensor_core(a: Tensor, b: Tensor) -> Tensor:
    """What a card with tensor cores does: as torch is told."""
    if a.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return tf32(a) @ tf32(b)
    return a @ b


class Gated(nn.Module):
    """A small network of vectors whose matrix products are the given ones."""

    def __init__(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one = nn.Parameter(drawn(12, 4, dtype=torch.float32) / 2)
        self.two = nn.Parameter(drawn(4, 12, dtype=torch.float32, seed=1) / 3)
        self.product = product

    def forward(self, v: Tensor) -> Tensor:
        hidden = self.product(self.one, v)
        return self.product(self.two, hidden * torch.sigmoid(norms(hidden))).to(v.dtype)


def autocast(a: Tensor, b: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return a @ b


CAST = torch.autocast("cpu", dtype=torch.bfloat16)


@CAST
def decorated(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


def said(product: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype = torch.float32) -> AuditResult:
    probe = Probe(Gated(product).to(dtype), drawn(64, 4, 3, dtype=dtype), "so3", "4x1o", "4x1o")
    return audit(probe, elements=16)


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (autocast, "torch.autocast inside"),
        (decorated, "torch.autocast inside"),
        (lambda a, b: (a.bfloat16() @ b.bfloat16()).to(b.dtype), "casts to bfloat16 or half inside"),
        (lambda a, b: (a.to(torch.float16) @ b.to(dtype=torch.half)).to(b), "casts to bfloat16 or half inside"),
        (lambda a, b: (a.float() @ b.float()).to(b.dtype), "casts to float32 inside"),
        (lambda a, b: (a.type(torch.float32) @ b.to(torch.float32)).to(b), "casts to float32 inside"),
        (lambda a, b: (tf32(a) @ tf32(b)).to(b.dtype), "no switch of torch's"),
        (lambda a, b: torch.from_numpy(a.detach().numpy().astype("f4") @ b.detach().numpy().astype("f4")), "no switch"),
    ],
    ids=["autocast", "decorated", "bfloat16", "half", "float32", "types", "bits", "numpy"],
)
def test_the_switch_is_named(product, words):
    result = said(product)
    assert result.verdict == "precision-limited", result.sentence
    (cause,) = [each for each in result.causes if each.name == "computes in less inside"]
    assert words in cause.text, cause.text


def test_products_of_tensor_cores():
    torch.set_float32_matmul_precision("high")
    try:
        result = said(tensor_core)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert result.verdict == "precision-limited"
    assert "torch.set_float32_matmul_precision" in result.causes[0].text
    assert said(tensor_core).verdict == "exact"


def test_autocast_around_the_audit():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = said(lambda a, b: a @ b)
        assert torch.is_autocast_enabled("cpu")
    assert "torch.autocast inside" in " ".join(each.text for each in result.causes), result.sentence


def test_what_needs_two_switches():
    def product(a: Tensor, b: Tensor) -> Tensor:
        if a.dtype == torch.float64:
            return a @ b
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return a.half().to(a) @ b.half().to(b)

    text = " ".join(each.text for each in said(product).causes)
    assert "torch.autocast and" in text


def test_a_break_is_not_blamed_on_precision():
    scale = torch.tensor([1.0, 1.0, 1.3])
    result = said(lambda a, b: (a.bfloat16() @ b.bfloat16()).to(b) * scale.to(b))
    assert result.verdict == "broken"
    assert "computes in less inside" not in {each.name for each in result.causes}


def test_a_constant_is_not_blamed_on_precision():
    def model(v: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 1.0], dtype=v.dtype).expand(len(v), 1, 3)

    result = audit(Probe(model, drawn(16, 4, 3, dtype=torch.float32), "so3", "4x1o", "1o"), elements=8)
    assert result.causes[0].name == "a constant"


@pytest.mark.parametrize("elements", [8, 12, 24])
def test_translations_alone_are_no_branch(elements):
    """However few elements there are: what turns alone and what moves too are judged apart."""

    def model(p: Tensor) -> Tensor:
        return p.square().sum((1, 2))[:, None]

    probe = Probe(model, drawn(16, 4, 3, dtype=torch.float32), "e3", "4xp", "0e")
    assert audit(probe, elements=elements).causes[0].name == "absolute positions"


def test_an_exact_network_has_no_cause():
    assert said(lambda a, b: a @ b).causes == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_switch_is_put_back(dtype):
    def state() -> list[object]:
        return [
            torch.is_autocast_enabled("cpu"),
            torch.get_autocast_dtype("cpu"),
            torch.is_autocast_cache_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.autocast.__enter__,
            CAST._enabled,
            torch.ones(1).bfloat16().dtype,
        ]

    before = state()
    for switch in (*switches(dtype).values(), lambda: all_of(switches(dtype))):
        with pytest.raises(RuntimeError), switch():
            decorated(torch.ones(2, 2), torch.ones(3, 2))
        assert state() == before


def test_switches_do_what_they_say():
    a = torch.ones(2, 2)
    with without_autocast():
        assert decorated(a, a).dtype == torch.float32
    assert decorated(a, a).dtype == torch.bfloat16
    with casts_kept(frozenset({torch.bfloat16}), torch.float32):
        assert {a.bfloat16().dtype, a.to(torch.bfloat16).dtype, torch.zeros(1, dtype=torch.bfloat16).dtype} == {
            torch.float32
        }
        assert a.half().dtype == torch.float16


# In which dtype, and where


@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", 1e-8, False), ("float64", 1e-17, True)])
def test_one_dtype_alone(dtype, low, high):
    probe = Probe(Gated(torch.matmul), drawn(64, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o")
    result = audit(probe, elements=16, dtype=getattr(torch, dtype))
    assert (result.verdict, result.dtype, result.float64) == ("exact", dtype, high)
    assert low < result.leaves[0].residual < 1e2 * low
    assert f"{dtype} alone" in {each.name for each in result.findings}
    assert probe.model.one.dtype == torch.float32


def test_a_dtype_in_which_it_does_not_run():
    def model(v: Tensor) -> Tensor:
        return v @ torch.eye(3, dtype=torch.float32)

    probe = Probe(model, drawn(16, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o")
    with pytest.raises(DataError, match="raised at the probe's own inputs"):
        audit(probe, elements=8, dtype=torch.float64)


def test_the_device_is_for_the_calls_alone():
    seen = set()

    def model(v: Tensor) -> Tensor:
        seen.add(v.device.type)
        return v * norms(v)

    probe = Probe(model, drawn(16, 4, 3, dtype=torch.float32), "so3", "4x1o", "4x1o")
    assert audit(probe, elements=8, device=torch.device("cpu")).verdict == "exact"
    assert seen == {"cpu"}
    with suppress(EquiwmError, RuntimeError, NotImplementedError):  # no numbers are there
        audit(probe, elements=8, device=torch.device("meta"))
    assert seen == {"cpu", "meta"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import torch\nfrom equiwm import Probe\n"
        "probe = Probe(lambda v: v, torch.randn(16, 4, 3), 'so3', '4x1o', '4x1o')\n"
    )
    assert run(["audit", "mine.py:probe", "--device", "cuda"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["audit", "mine.py:probe", "--device", "cpu", "--dtype", "float32", "--elements", "8"]) == 0
    assert run(["audit", "mine.py:probe", "--dtype", "float16"]) == 2
