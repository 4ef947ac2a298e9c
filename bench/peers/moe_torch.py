#!/usr/bin/env python3
"""PyTorch peer of a Switchyard training step: the same model, the same losses, the same optimizer.

A decoder-only byte model (V = 256): RMSNorm (eps 1e-5), causal attention with RoPE (half-split,
theta 10000), SwiGLU experts behind a softmax top-k router (gates renormalized for K > 1),
load-balancing loss 0.01 * E * sum(f_i P_i), router z-loss 0.001, untied head.  One step is forward,
backward, clipping of the global norm at 1.0 and AdamW(fused=True), betas (0.9, 0.95), weight decay
0.1 on parameters of two and more dimensions.  E = 1 is the dense model (no router).

Experts, --variant NAME (each also as NAME+compile, which wraps the model in torch.compile; the
per-expert products of loop and sorted, whose shapes change at every step, stay outside of it):
  loop     one index, product and index_add_ for each expert: what most people write
  sorted   rows sorted by expert once, one product for each expert's slice
  grouped  sorted rows and grouped_mm
  padded   rows placed in an (E, most rows of one expert, C) block, two batched products
  dense    E = 1 only: no routing at all
  best     every variant that makes sense for the shape, --try-seconds each in a process of its own,
           then the fastest for --seconds

GFLOP/s counts model FLOPs only: 6 for each multiply-add weight that a token uses (attention
projections, its K experts, the head; not the embedding look-up and not the router, which adds
6*L*C*E, under 2%), plus causal attention at half: 6*L*T*C a token.  The time of a step is the
median over --seconds (the JSON has the fastest step as well: other programs on the cores make
OpenMP's barriers wait for each other, so compare on a quiet machine).  Peak RSS is that
of the whole process, compiler's children excluded.

    moe_torch.py --shape R1 --precision bf16 --variant best --threads 2 --seconds 20 --json

Exit status: 0; 77 where torch is missing (skip); 1 when the variant does not run.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time

#         L  C    H  B   E   K  F     T
SHAPES = {
    "R1": (6, 384, 6, 16, 8, 2, 1024, 256),
    "R2": (4, 256, 4, 16, 64, 8, 128, 256),
    "R3": (6, 256, 4, 16, 64, 1, 1024, 256),
    "R4": (6, 384, 6, 16, 1, 1, 1024, 256),
    "R5": (4, 128, 4, 12, 8, 2, 256, 64),
}
V = 256
# what `best` tries; loop+compile and padded+compile run too, but trail at every shape or recompile
CANDIDATES = ["loop", "sorted", "grouped", "padded", "sorted+compile", "grouped+compile"]


def flops_per_token(shape):
    L, C, _, _, _, K, F, T = SHAPES[shape]
    weights = L * (4 * C * C + K * 3 * C * F) + V * C
    return 6 * weights + 6 * L * T * C


def parse():
    p = argparse.ArgumentParser(description="PyTorch peer of a Switchyard training step")
    p.add_argument("--shape", choices=SHAPES, default="R1")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--variant", default="best")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--try-seconds", type=float, default=3)
    p.add_argument("--text", help="file whose bytes are trained on (default: the common licenses)")
    p.add_argument("--json", action="store_true")
    return p.parse_args()


# -- every variant in turn ------------------------------------------------------------------------

def run_child(a, variant, seconds):
    """One variant in its own process, so that peak RSS and compile state are its own."""
    cmd = [sys.executable, os.path.abspath(__file__), "--shape", a.shape, "--precision",
           a.precision, "--variant", variant, "--threads", str(a.threads), "--seconds",
           str(seconds), "--json"] + (["--text", a.text] if a.text else [])
    r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        tail = r.stderr.strip().splitlines()
        return None, tail[-1] if tail else f"exit status {r.returncode}"
    return json.loads(r.stdout.strip().splitlines()[-1]), None


def best(a):
    names = ["dense", "dense+compile"] if SHAPES[a.shape][4] == 1 else CANDIDATES
    tried = {}
    for name in names:
        result, why = run_child(a, name, a.try_seconds)
        tried[name] = round(result["gflops"], 1) if result else None
        said = (f"{result['gflops']:7.1f} GFLOP/s  rss {result['rss_gb']:.2f} GB" if result
                else f"does not run: {why}")
        print(f"  {name:16s} {said}", file=sys.stderr, flush=True)
    working = {k: v for k, v in tried.items() if v is not None}
    if not working:
        sys.exit("moe_torch: no variant runs")
    result, why = run_child(a, max(working, key=working.get), a.seconds)
    if result is None:
        sys.exit(f"moe_torch: {why}")
    result["tried"] = tried
    return result


# -- one variant ----------------------------------------------------------------------------------

def build(a, name):
    """The model as an nn.Module: forward(tokens, targets) -> total loss, cross entropy."""
    import torch
    import torch.nn.functional as F
    from torch import nn
    L, C, H, B, E, K, FF, T = SHAPES[a.shape]
    D = C // H
    low = torch.bfloat16 if a.precision == "bf16" else None
    grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)

    class RMSNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(C))

        def forward(self, x):
            return F.rms_norm(x, (C,), self.weight, 1e-5)

    def weight(*shape):
        return nn.Parameter(torch.randn(*shape) * 0.02)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = weight(3 * C, C), weight(C, C)

        def forward(self, x, cos, sin):
            q, k, v = F.linear(x, self.qkv).view(B, T, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
            q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return F.linear(y.transpose(1, 2).reshape(B, T, C), self.out)

    def rotate(x, cos, sin):
        x1, x2 = x.chunk(2, -1)
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), -1)

    def swiglu(h):
        gate, up = h.chunk(2, -1)
        return F.silu(gate) * up

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.w1, self.w2 = weight(2 * FF, C), weight(C, FF)

        def forward(self, x):
            return F.linear(swiglu(F.linear(x, self.w1)), self.w2), x.new_zeros(())

    class MoE(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = weight(E, C)
            self.w1, self.w2 = weight(E, 2 * FF, C), weight(E, C, FF)

        def forward(self, x):
            x = x.reshape(-1, C)
            with torch.autocast("cpu", enabled=False):  # routing in fp32, as ours
                logits = F.linear(x.float(), self.router)
                prob = logits.softmax(-1)
                gate, expert = prob.topk(K, -1)
                if K > 1:
                    gate = gate / gate.sum(-1, keepdim=True)
                count = torch.zeros(E, dtype=torch.int64).scatter_add_(
                    0, expert.view(-1), torch.ones_like(expert.view(-1)))
                share = count.to(prob.dtype) / (x.shape[0] * K)
                aux = 0.01 * E * (share * prob.mean(0)).sum()
                aux = aux + 0.001 * logits.logsumexp(-1).square().mean()
            if low is not None:
                x = x.to(low)
            return experts[name](self, x, gate, expert, count).view(B, T, C), aux

    def loop(m, x, gate, expert, count):
        out = torch.zeros(x.shape, dtype=torch.float32)
        for e in range(E):
            row, slot = torch.where(expert == e)
            y = F.linear(swiglu(F.linear(x[row], m.w1[e])), m.w2[e])
            out = out.index_add(0, row, y * gate[row, slot, None])
        return out

    def dispatch(x, expert):
        order = expert.view(-1).argsort(stable=True)
        return order, x[order // K]

    def combine(y, order, gate):
        back = torch.empty_like(order)
        back[order] = torch.arange(order.numel())
        return (y[back].view(-1, K, C) * gate[..., None]).sum(1)

    def by_slices(m, x, gate, expert, count):
        order, rows = dispatch(x, expert)
        parts = rows.split(count.tolist())
        w1, w2 = m.w1.unbind(0), m.w2.unbind(0)  # one gradient stack, not E slices added up
        if low is not None:  # one cast of the whole block
            w1, w2 = m.w1.to(low).unbind(0), m.w2.to(low).unbind(0)
        y = torch.cat([F.linear(swiglu(F.linear(r, w1[e])), w2[e]) for e, r in enumerate(parts)])
        return combine(y, order, gate)

    def grouped(m, x, gate, expert, count):
        order, rows = dispatch(x, expert)
        ends = count.cumsum(0).to(torch.int32)
        w1, w2 = (m.w1, m.w2) if low is None else (m.w1.to(low), m.w2.to(low))
        h = swiglu(grouped_mm(rows, w1.transpose(1, 2), offs=ends))
        return combine(grouped_mm(h, w2.transpose(1, 2), offs=ends), order, gate)

    def padded(m, x, gate, expert, count):
        order = expert.view(-1).argsort(stable=True)
        sorted_expert = expert.view(-1)[order]
        place = torch.arange(order.numel()) - (count.cumsum(0) - count)[sorted_expert]
        block = x.new_zeros(E, int(count.max()), C)
        block = block.index_put((sorted_expert, place), x[order // K])
        h = swiglu(torch.bmm(block, m.w1.transpose(1, 2)))
        y = torch.bmm(h, m.w2.transpose(1, 2))[sorted_expert, place]
        return combine(y, order, gate)

    experts = {"loop": loop, "sorted": by_slices, "grouped": grouped, "padded": padded}
    for uneven in ("loop", "sorted"):
        experts[uneven] = torch.compiler.disable(experts[uneven])
    if E > 1 and name not in experts or E == 1 and name != "dense":
        sys.exit(f"moe_torch: variant {name!r} does not apply to {a.shape}")

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2, self.att = RMSNorm(), RMSNorm(), Attention()
            self.mlp = Dense() if E == 1 else MoE()

        def forward(self, x, cos, sin):
            x = x + self.att(self.n1(x), cos, sin)
            y, aux = self.mlp(self.n2(x))
            return x + y, aux

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head, self.norm = weight(V, C), weight(V, C), RMSNorm()
            self.blocks = nn.ModuleList(Block() for _ in range(L))
            angle = torch.outer(torch.arange(T).float(),
                                10000.0 ** (-torch.arange(0, D, 2).float() / D))
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())

        def forward(self, tokens, targets):
            x = F.embedding(tokens, self.embed)
            aux = 0.0
            for b in self.blocks:
                x, one = b(x, self.cos, self.sin)
                aux = aux + one
            logits = F.linear(self.norm(x), self.head)
            ce = F.cross_entropy(logits.view(-1, V).float(), targets.view(-1))
            return ce + aux, ce

    return Model()


def corpus(path):
    if path:
        with open(path, "rb") as f:
            return f.read()
    folder, text = "/usr/share/common-licenses", b""
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not os.path.islink(os.path.join(folder, name)):
            with open(os.path.join(folder, name), "rb") as f:
                text += f.read()
    return text or os.urandom(1 << 20)


def measure(a):
    import torch
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    _, _, _, B, _, _, _, T = SHAPES[a.shape]
    name, _, compiled = a.variant.partition("+")
    model = build(a, name)
    params = list(model.parameters())
    groups = [{"params": [p for p in params if p.dim() > 1], "weight_decay": 0.1},
              {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
    if compiled:
        torch._dynamo.config.capture_scalar_outputs = name == "padded"
        model = torch.compile(model)
    data = torch.frombuffer(bytearray(corpus(a.text)), dtype=torch.uint8).long()
    gen = torch.Generator().manual_seed(1)

    def step():
        at = torch.randint(len(data) - T - 1, (B,), generator=gen)
        win = torch.stack([data[i:i + T + 1] for i in at.tolist()])
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            total, ce = model(win[:, :-1].contiguous(), win[:, 1:].contiguous())
        total.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return ce.item()

    t0 = time.monotonic()
    first = step()
    start = time.monotonic() - t0
    for _ in range(2):
        step()
    times, loss, begin = [], first, time.monotonic()
    while len(times) < 3 or time.monotonic() - begin < a.seconds:
        t0 = time.monotonic()
        loss = step()
        times.append(time.monotonic() - t0)
    if not math.isfinite(loss):
        sys.exit("moe_torch: loss is not finite")
    seconds = sorted(times)[len(times) // 2]
    return {"peer": "torch " + torch.__version__, "shape": a.shape, "precision": a.precision,
            "variant": a.variant, "threads": a.threads, "params": sum(p.numel() for p in params),
            "gflops": B * T * flops_per_token(a.shape) / seconds / 1e9, "tok_s": B * T / seconds,
            "gflops_fastest_step": B * T * flops_per_token(a.shape) / min(times) / 1e9,
            "step_s": seconds, "steps": len(times), "first_step_s": start,
            "rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            "loss_first": first, "loss_last": loss}


def main():
    a = parse()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(a.threads)
    try:
        import torch  # noqa: F401
    except ImportError:
        print("moe_torch: skipped: PyTorch is not installed (pip install torch)", file=sys.stderr)
        sys.exit(77)
    r = best(a) if a.variant == "best" else measure(a)
    if a.json:
        print(json.dumps(r))
        return
    print(f"{r['peer']}  {r['shape']} {r['precision']}  {r['variant']}  {r['gflops']:.1f} GFLOP/s  "
          f"{r['tok_s']:.0f} tok/s  step {r['step_s'] * 1e3:.1f} ms  "
          f"peak RSS {r['rss_gb']:.2f} GB  "
          f"loss {r['loss_first']:.3f} -> {r['loss_last']:.3f} in {r['steps']} steps")


if __name__ == "__main__":
    main()
