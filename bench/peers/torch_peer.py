"""What the PyTorch peers beside it have in common: variants in processes of their own, the products
of routed experts, and the clock around whole training steps.

A peer is one of these, made at the end of its file, with run(peer):
    name, shapes, batch         of its own; batch(shape): B, and tokens of a row that are counted
    variants(shape)             what `best` tries
    build(a, name)              an nn.Module: forward(*batch) -> total loss, cross entropy
    batches(a)                  a function of a torch.Generator: what forward is given in one step
    flops(shape)                model FLOPs of a step
    options(parser)             options of its own, which tell(a) gives to processes of one variant

One step is forward, backward, clipping of the global norm at 1.0 and AdamW(fused=True), betas
(0.9, 0.95), weight decay 0.1 on parameters of two and more dimensions.  Exit status: 0; 77 where
torch is missing (skip); 1 when the variant does not run.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time


class Peer:
    def __init__(self, file, name, shapes, batch, variants, build, batches, flops,
                 options=lambda parser: None, tell=lambda a: []):
        self.file, self.name, self.shapes, self.batch = os.path.abspath(file), name, shapes, batch
        self.variants, self.build, self.batches, self.flops = variants, build, batches, flops
        self.options, self.tell = options, tell

    def fail(self, why):
        sys.exit(f"{self.name}: {why}")


def parse(peer, description):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--shape", choices=peer.shapes, default=next(iter(peer.shapes)))
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--variant", default="best")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--try-seconds", type=float, default=3)
    p.add_argument("--json", action="store_true")
    peer.options(p)
    return p.parse_args()


# -- every variant in turn ------------------------------------------------------------------------

def run_child(peer, a, variant, seconds):
    """One variant in its own process, so that peak RSS and compile state are its own."""
    cmd = [sys.executable, peer.file, "--shape", a.shape, "--precision", a.precision, "--variant",
           variant, "--threads", str(a.threads), "--seconds", str(seconds), "--json", *peer.tell(a)]
    r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        tail = r.stderr.strip().splitlines()
        return None, tail[-1] if tail else f"exit status {r.returncode}"
    return json.loads(r.stdout.strip().splitlines()[-1]), None


def best(peer, a):
    tried = {}
    for name in peer.variants(a.shape):
        result, why = run_child(peer, a, name, a.try_seconds)
        tried[name] = round(result["gflops"], 1) if result else None
        said = (f"{result['gflops']:7.1f} GFLOP/s  rss {result['rss_gb']:.2f} GB" if result
                else f"does not run: {why}")
        print(f"  {name:22s} {said}", file=sys.stderr, flush=True)
    working = {k: v for k, v in tried.items() if v is not None}
    if not working:
        peer.fail("no variant runs")
    result, why = run_child(peer, a, max(working, key=working.get), a.seconds)
    if result is None:
        peer.fail(why)
    result["tried"] = tried
    return result


# -- routed experts -------------------------------------------------------------------------------

def low_precision(a):
    import torch
    return torch.bfloat16 if a.precision == "bf16" else None


def lowered(low, *weights):
    """The weights as the products take them: one cast of each whole block."""
    return weights if low is None else tuple(w.to(low) for w in weights)


def by_slices(rows, count, w1, w2, activation, low):
    """One product for each expert's slice of rows that are sorted by expert."""
    import torch
    import torch.nn.functional as F
    parts = rows.split(count.tolist())
    w1, w2 = (w.unbind(0) for w in lowered(low, w1, w2))  # one gradient stack, not E added up
    return torch.cat([F.linear(activation(F.linear(r, w1[e])), w2[e]) for e, r in enumerate(parts)])


def grouped(rows, count, w1, w2, activation, low):
    """The same in two calls of grouped_mm."""
    import torch
    import torch.nn.functional as F
    grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)
    ends = count.cumsum(0).to(torch.int32)
    w1, w2 = lowered(low, w1, w2)
    h = activation(grouped_mm(rows, w1.transpose(1, 2), offs=ends))
    return grouped_mm(h, w2.transpose(1, 2), offs=ends)


def counts(expert, experts):
    """How many of the choices each expert has."""
    import torch
    chosen = expert.reshape(-1)
    return torch.zeros(experts, dtype=torch.int64).scatter_add_(0, chosen, torch.ones_like(chosen))


# -- one variant ----------------------------------------------------------------------------------

def measure(peer, a):
    import torch
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    name, _, compiled = a.variant.partition("+")
    if a.variant not in peer.variants(a.shape) and name not in peer.variants(a.shape):
        peer.fail(f"variant {name!r} does not apply to {a.shape}")
    model = peer.build(a, name)
    params = list(model.parameters())
    groups = [{"params": [p for p in params if p.dim() > 1], "weight_decay": 0.1},
              {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
    if compiled:
        torch._dynamo.config.capture_scalar_outputs = name == "padded"
        model = torch.compile(model)
    batch, gen = peer.batches(a), torch.Generator().manual_seed(1)

    def step():
        given = batch(gen)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            total, ce = model(*given)
        total.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return ce.item()

    t0 = time.monotonic()
    first = loss = step()
    start = time.monotonic() - t0
    for _ in range(2):
        step()
    times, begin = [], time.monotonic()
    while len(times) < 3 or time.monotonic() - begin < a.seconds:
        t0 = time.monotonic()
        loss = step()
        times.append(time.monotonic() - t0)
    if not math.isfinite(loss):
        peer.fail("loss is not finite")
    seconds, flops = sorted(times)[len(times) // 2], peer.flops(a.shape)
    rows, tokens = peer.batch(a.shape)
    return {"peer": "torch " + torch.__version__, "shape": a.shape, "precision": a.precision,
            "variant": a.variant, "threads": a.threads, "params": sum(p.numel() for p in params),
            "gflops": flops / seconds / 1e9, "tok_s": rows * tokens / seconds,
            "gflops_fastest_step": flops / min(times) / 1e9,
            "step_s": seconds, "fastest_step_s": min(times), "steps": len(times),
            "first_step_s": start,
            "rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            "loss_first": first, "loss_last": loss}


def run(peer, description):
    a = parse(peer, description)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(a.threads)
    try:
        import torch  # noqa: F401
    except ImportError:
        print(f"{peer.name}: skipped: PyTorch is not installed (pip install torch)",
              file=sys.stderr)
        sys.exit(77)
    r = best(peer, a) if a.variant == "best" else measure(peer, a)
    if a.json:
        print(json.dumps(r))
        return
    print(f"{r['peer']}  {r['shape']} {r['precision']}  {r['variant']}  {r['gflops']:.1f} GFLOP/s  "
          f"{r['tok_s']:.0f} tok/s  step {r['step_s'] * 1e3:.1f} ms  "
          f"peak RSS {r['rss_gb']:.2f} GB  "
          f"loss {r['loss_first']:.3f} -> {r['loss_last']:.3f} in {r['steps']} steps")
