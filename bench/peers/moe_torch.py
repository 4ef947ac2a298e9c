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
import os

import torch_peer

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


def flops(shape):
    L, C, _, B, _, K, F, T = SHAPES[shape]
    weights = L * (4 * C * C + K * 3 * C * F) + V * C
    return B * T * (6 * weights + 6 * L * T * C)


def variants(shape):
    return ["dense", "dense+compile"] if SHAPES[shape][4] == 1 else CANDIDATES


# -- one variant ----------------------------------------------------------------------------------

def build(a, name):
    """The model as an nn.Module: forward(tokens, targets) -> total loss, cross entropy."""
    import torch
    import torch.nn.functional as F
    from torch import nn
    L, C, H, B, E, K, FF, T = SHAPES[a.shape]
    D = C // H
    low = torch_peer.low_precision(a)

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
                count = torch_peer.counts(expert, E)
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

    def sorted_by(products):
        def run(m, x, gate, expert, count):
            order, rows = dispatch(x, expert)
            return combine(products(rows, count, m.w1, m.w2, swiglu, low), order, gate)
        return run

    def padded(m, x, gate, expert, count):
        order = expert.view(-1).argsort(stable=True)
        sorted_expert = expert.view(-1)[order]
        place = torch.arange(order.numel()) - (count.cumsum(0) - count)[sorted_expert]
        block = x.new_zeros(E, int(count.max()), C)
        block = block.index_put((sorted_expert, place), x[order // K])
        h = swiglu(torch.bmm(block, m.w1.transpose(1, 2)))
        y = torch.bmm(h, m.w2.transpose(1, 2))[sorted_expert, place]
        return combine(y, order, gate)

    experts = {"loop": loop, "sorted": sorted_by(torch_peer.by_slices),
               "grouped": sorted_by(torch_peer.grouped), "padded": padded}
    for uneven in ("loop", "sorted"):
        experts[uneven] = torch.compiler.disable(experts[uneven])

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


def batches(a):
    """Windows of the text, and the bytes that follow."""
    import torch
    _, _, _, B, _, _, _, T = SHAPES[a.shape]
    data = torch.frombuffer(bytearray(corpus(a.text)), dtype=torch.uint8).long()

    def batch(gen):
        at = torch.randint(len(data) - T - 1, (B,), generator=gen)
        win = torch.stack([data[i:i + T + 1] for i in at.tolist()])
        return win[:, :-1].contiguous(), win[:, 1:].contiguous()

    return batch


def options(p):
    p.add_argument("--text", help="file whose bytes are trained on (default: the common licenses)")


if __name__ == "__main__":
    torch_peer.run(torch_peer.Peer(
        __file__, "moe_torch", SHAPES, lambda shape: (SHAPES[shape][3], SHAPES[shape][7]), variants,
        build, batches, flops, options, lambda a: ["--text", a.text] if a.text else []),
        "PyTorch peer of a training step")
