import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from chinese_modernbert.modeling import ChineseModernBertConfig, ChineseModernBertForMaskedLM
from chinese_modernbert.trainers.pretraining import throughput
from chinese_modernbert.trainers.pretraining.throughput import SpeedMeter, Workload, peak_flops, training_flops


def config(**changes: object) -> ChineseModernBertConfig:
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96}
    return ChineseModernBertConfig(**{"vocab_size": 211, **sizes, **changes})


def test_the_formula_gives_what_torch_counts_in_a_forward() -> None:
    # 64 tokens fit into the window, so a local layer needs what the eager kernel computes: every pair.
    model = ChineseModernBertForMaskedLM(config())
    model.set_attn_implementation("eager")
    input_ids = torch.randint(5, 211, (1, 64))
    labels = torch.full_like(input_ids, -100)
    labels[0, :10] = 7
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=input_ids, labels=labels)
    work = Workload()
    work.add(np.zeros((1, 64), np.int32), masked=10, window=64)
    # Rotary angles and the like are no products of weights or tokens: a few thousandths.
    assert training_flops(model.config, work) / 3 == pytest.approx(counter.get_total_flops(), rel=5e-3)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 20])
def test_pairs_of_a_local_layer_are_those_inside_the_window(length: int) -> None:
    positions = np.arange(length)
    near = int((np.abs(positions[:, None] - positions) <= 4).sum())
    work = Workload()
    work.add(np.zeros((1, length), np.int32), masked=0, window=4)
    assert (work.local_pairs, work.global_pairs) == (near, length**2)


def test_documents_are_counted_apart_and_padding_not_at_all() -> None:
    work = Workload()
    work.add(np.array([[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, 0, 0]]), masked=3, window=1)
    assert (work.positions, work.tokens, work.masked) == (12, 11, 3)
    assert work.global_pairs == 9 + 4 + 36
    assert work.local_pairs == 7 + 4 + 16


def test_a_meter_tells_the_work_between_two_lines_and_forgets_it() -> None:
    meter = SpeedMeter(config(), processes=2, peak=1e9)
    work = Workload()
    work.add(np.array([[0, 0, 0, -1]]), masked=1, window=2)
    for _ in range(2):
        meter.observe(work)
    meter.began -= 10.0
    logs = meter.as_logs()
    assert logs["packing_efficiency"] == 0.75
    assert logs["tokens_per_second"] == pytest.approx(1.2, abs=0.1)
    assert logs["mfu"] == pytest.approx(logs["tflops"] * 1e12 / 2 / 1e9, abs=1e-3)
    assert meter.as_logs() == {}


def test_there_is_no_mfu_where_the_peak_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert peak_flops(torch.device("cpu"), half_precision=True) is None
    meter = SpeedMeter(config())
    meter.observe(Workload(positions=4, tokens=4, masked=1))
    assert "mfu" not in meter.as_logs()
    names = {"NVIDIA H100 80GB HBM3": 989e12, "NVIDIA H100 PCIe": 756e12, "NVIDIA A100-SXM4-80GB": 312e12, "Toy": None}
    for name, peak in names.items():
        monkeypatch.setattr(throughput.torch.cuda, "get_device_name", lambda device, name=name: name)
        assert peak_flops(torch.device("cuda"), half_precision=True) == peak
        assert peak_flops(torch.device("cuda"), half_precision=False) is None
