#!/usr/bin/env python3
"""PyTorch peer of a training step of model.encdec: T5 v1.1 with or without Switch layers.

Encoder and decoder of pre-norm blocks: RMSNorm (eps 1e-6), attention without 1/sqrt(D), a learnt
relative bias for each stack (32 buckets, up to 128), gated gelu (tanh), untied head; every second
layer of a stack is a mixture with one expert a token (softmax router, gate not normalized) where
E > 1, with the load-balancing loss 0.01 * E * sum(f_i P_i).  Inputs and targets are of full length:
no padding, and no documents.  One step is forward, backward, clipping of the global norm at 1.0 and
AdamW(fused=True), betas (0.9, 0.95), weight decay 0.1 on parameters of two and more dimensions.

--variant ATTENTION-EXPERTS, each also as ...+compile:
  sdpa, plain     scaled_dot_product_attention with the bias as its mask, or softmax(q k' + bias) v
  sorted, grouped as in moe_torch.py; dense: E = 1
  best            every one of them, --try-seconds each in a process of its own, then the fastest

GFLOP/s are model FLOPs by the formula of m:count() but for the router.  Exit status as of
moe_torch.py: 0; 77 where torch is missing; 1 when the variant does not run.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time

#         L  M  C    H  B   E  F     S    T    V
SHAPES = {
    "D1": (4, 4, 256, 4, 16, 1, 1024, 256, 58, 4096),
    "D2": (4, 4, 256, 4, 16, 8, 1024, 256, 58, 4096),
}
BUCKETS, FAR = 32, 128


def flops_per_step(shape):
    L, M, C, _, B, _, F, S, T, V = SHAPES[shape]
    ffn = 3 * C * F
    inputs = L * (4 * C * C + ffn) + M * 2 * C * C
    outputs = M * (6 * C * C + ffn) + V * C
    scores = 12 * L * C * S * S + 12 * M * C * S * T + 6 * M * C * T * T
    return B * (6 * inputs * S + 6 * outputs * T + scores)


def parse():
    p = argparse.ArgumentParser(description="PyTorch peer of an encoder-decoder's training step")
    p.add_argument("--shape", choices=SHAPES, default="D1")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    p.add_argument("--variant", default="best")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--try-seconds", type=float, default=3)
    p.add_argument("--json", action="store_true")
    return p.parse_args()


# -- every variant in turn ------------------------------------------------------------------------

def variants(shape):
    experts = ["dense"] if SHAPES[shape][5] == 1 else ["sorted", "grouped"]
    return [f"{a}-{e}{c}" for a in ("sdpa", "plain") for e in experts for c in ("", "+compile")]


def run_child(a, variant, seconds):
    cmd = [sys.executable, os.path.abspath(__file__), "--shape", a.shape, "--precision",
           a.precision, "--variant", variant, "--threads", str(a.threads), "--seconds",
           str(seconds), "--json"]
    r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        tail = r.stderr.strip().splitlines()
        return None, tail[-1] if tail else f"exit status {r.returncode}"
    return json.loads(r.stdout.strip().splitlines()[-1]), None


def best(a):
    tried = {}
    for name in variants(a.shape):
        result, why = run_child(a, name, a.try_seconds)
        tried[name] = round(result["gflops"], 1) if result else None
        said = f"{result['gflops']:7.1f} GFLOP/s" if result else f"does not run: {why}"
        print(f"  {name:22s} {said}", file=sys.stderr, flush=True)
    working = {k: v for k, v in tried.items() if v is not None}
    if not working:
        sys.exit("encdec_torch: no variant runs")
    result, why = run_child(a, max(working, key=working.get), a.seconds)
    if result is None:
        sys.exit(f"encdec_torch: {why}")
    result["tried"] = tried
    return result


# -- one variant ----------------------------------------------------------------------------------

def bucket(distance, both):
    n, first = BUCKETS, 0
    if both:
        n //= 2
        first = n if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = n // 2
    if distance < exact:
        return first + distance
    far = math.log(distance / exact) / math.log(FAR / exact) * (n - exact)
    return first + min(exact + int(far + 1e-9), n - 1)


def build(a, name):
    """An nn.Module: forward(inputs, tokens, targets) -> total loss, cross entropy."""
    import torch
    import torch.nn.functional as F
    from torch import nn
    L, M, C, H, B, E, FF, S, T, V = SHAPES[a.shape]
    D = C // H
    how, experts = name.split("-")
    low = torch.bfloat16 if a.precision == "bf16" else None
    grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)
    if name not in [v for v in variants(a.shape) if "+" not in v]:
        sys.exit(f"encdec_torch: variant {name!r} does not apply to {a.shape}")

    def weight(*shape, std=None):
        return nn.Parameter(torch.randn(*shape) * (std or shape[-1] ** -0.5))

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(C))

        def forward(self, x):
            return F.rms_norm(x, (C,), self.weight, 1e-6)

    class Attention(nn.Module):
        def __init__(self, cross):
            super().__init__()
            self.cross = cross
            self.q, self.out = weight(C, C, std=(C * D) ** -0.5), weight(C, C)
            self.kv = weight(2 * C, C)

        def forward(self, x, memory, bias):
            q = F.linear(x, self.q).view(B, -1, H, D).transpose(1, 2)
            k, v = F.linear(memory if self.cross else x, self.kv).view(
                B, -1, 2, H, D).permute(2, 0, 3, 1, 4).unbind(0)
            if how == "sdpa":
                bias = None if bias is None else bias.to(q.dtype)
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
            else:
                s = q @ k.transpose(-1, -2)
                y = (s if bias is None else s + bias).softmax(-1).to(v.dtype) @ v
            return F.linear(y.transpose(1, 2).reshape(B, -1, C), self.out)

    def gated(h):
        gate, up = h.chunk(2, -1)
        return F.gelu(gate, approximate="tanh") * up

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.w1, self.w2 = weight(2 * FF, C), weight(C, FF)

        def forward(self, x):
            return F.linear(gated(F.linear(x, self.w1)), self.w2), x.new_zeros(())

    class Switch(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = weight(E, C)
            self.w1, self.w2 = weight(E, 2 * FF, C), weight(E, C, FF)

        def forward(self, x):
            shape = x.shape
            x = x.reshape(-1, C)
            with torch.autocast("cpu", enabled=False):
                prob = F.linear(x.float(), self.router).softmax(-1)
                gate, expert = prob.max(-1)
                count = torch.zeros(E, dtype=torch.int64).scatter_add_(
                    0, expert, torch.ones_like(expert))
                aux = 0.01 * E * (count / x.shape[0] * prob.mean(0)).sum()
            if low is not None:
                x = x.to(low)
            order = expert.argsort(stable=True)
            y = products(self, x[order], count) * gate[order, None]
            return torch.zeros_like(y).index_copy(0, order, y).view(shape), aux

    def by_slices(m, rows, count):
        w1, w2 = (m.w1, m.w2) if low is None else (m.w1.to(low), m.w2.to(low))
        w1, w2 = w1.unbind(0), w2.unbind(0)
        parts = rows.split(count.tolist())
        return torch.cat([F.linear(gated(F.linear(r, w1[e])), w2[e]) for e, r in enumerate(parts)])

    def grouped(m, rows, count):
        ends = count.cumsum(0).to(torch.int32)
        w1, w2 = (m.w1, m.w2) if low is None else (m.w1.to(low), m.w2.to(low))
        h = gated(grouped_mm(rows, w1.transpose(1, 2), offs=ends))
        return grouped_mm(h, w2.transpose(1, 2), offs=ends)

    products = grouped if experts == "grouped" else torch.compiler.disable(by_slices)

    class Block(nn.Module):
        def __init__(self, decoder, sparse):
            super().__init__()
            self.n1, self.n2, self.own = Norm(), Norm(), Attention(False)
            self.cross = Attention(True) if decoder else None
            self.n3 = Norm() if decoder else None
            self.mlp = Switch() if sparse else Dense()

        def forward(self, x, memory, bias):
            x = x + self.own(self.n1(x), None, bias)
            if self.cross is not None:
                x = x + self.cross(self.n3(x), memory, None)
            y, aux = self.mlp(self.n2(x))
            return x + y, aux

    class Stack(nn.Module):
        def __init__(self, n, length, decoder):
            super().__init__()
            self.norm, self.table = Norm(), weight(BUCKETS, H, std=C ** -0.5)
            self.blocks = nn.ModuleList(Block(decoder, E > 1 and i % 2 == 1) for i in range(n))
            ids = [[bucket(k - q, not decoder) for k in range(length)] for q in range(length)]
            self.register_buffer("ids", torch.tensor(ids))
            ahead = torch.full((length, length), -math.inf if decoder else 0.0).triu(1)
            self.register_buffer("ahead", ahead)

        def forward(self, x, memory):
            bias = self.table[self.ids].permute(2, 0, 1)[None] + self.ahead
            aux = 0.0
            for b in self.blocks:
                x, one = b(x, memory, bias)
                aux = aux + one
            return self.norm(x), aux

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = weight(V, C, std=1.0), weight(V, C)
            self.encoder, self.decoder = Stack(L, S, False), Stack(M, T, True)

        def forward(self, inputs, tokens, targets):
            memory, aux = self.encoder(F.embedding(inputs, self.embed), None)
            x, more = self.decoder(F.embedding(tokens, self.embed), memory)
            logits = F.linear(x, self.head)
            ce = F.cross_entropy(logits.view(-1, V).float(), targets.view(-1))
            return ce + aux + more, ce

    return Model()


def measure(a):
    import torch
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    _, _, _, _, B, _, _, S, T, V = SHAPES[a.shape]
    name, _, compiled = a.variant.partition("+")
    model = build(a, name)
    params = list(model.parameters())
    groups = [{"params": [p for p in params if p.dim() > 1], "weight_decay": 0.1},
              {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
    if compiled:
        model = torch.compile(model)
    gen = torch.Generator().manual_seed(1)

    def step():
        inputs = torch.randint(V, (B, S), generator=gen)
        text = torch.randint(V, (B, T + 1), generator=gen)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "bf16"):
            total, ce = model(inputs, text[:, :-1].contiguous(), text[:, 1:].contiguous())
        total.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        return ce.item()

    for _ in range(3):
        loss = step()
    times, begin = [], time.monotonic()
    while len(times) < 3 or time.monotonic() - begin < a.seconds:
        t0 = time.monotonic()
        loss = step()
        times.append(time.monotonic() - t0)
    if not math.isfinite(loss):
        sys.exit("encdec_torch: loss is not finite")
    seconds = sorted(times)[len(times) // 2]
    return {"peer": "torch " + torch.__version__, "shape": a.shape, "precision": a.precision,
            "variant": a.variant, "threads": a.threads, "params": sum(p.numel() for p in params),
            "gflops": flops_per_step(a.shape) / seconds / 1e9, "tok_s": B * T / seconds,
            "step_s": seconds, "fastest_step_s": min(times), "steps": len(times),
            "rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
            "loss_last": loss}


def main():
    a = parse()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(a.threads)
    try:
        import torch  # noqa: F401
    except ImportError:
        print("encdec_torch: skipped: PyTorch is not installed", file=sys.stderr)
        sys.exit(77)
    r = best(a) if a.variant == "best" else measure(a)
    if a.json:
        print(json.dumps(r))
        return
    print(f"{r['peer']}  {r['shape']} {r['precision']}  {r['variant']}  {r['gflops']:.1f} GFLOP/s  "
          f"{r['tok_s']:.0f} tok/s  step {r['step_s'] * 1e3:.1f} ms  "
          f"peak RSS {r['rss_gb']:.2f} GB  loss {r['loss_last']:.3f}")


if __name__ == "__main__":
    main()
