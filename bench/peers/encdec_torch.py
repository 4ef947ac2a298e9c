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
import math

import torch_peer

#         L  M  C    H  B   E  F     S    T    V
SHAPES = {
    "D1": (4, 4, 256, 4, 16, 1, 1024, 256, 58, 4096),
    "D2": (4, 4, 256, 4, 16, 8, 1024, 256, 58, 4096),
}
BUCKETS, FAR = 32, 128


def flops(shape):
    L, M, C, _, B, _, F, S, T, V = SHAPES[shape]
    ffn = 3 * C * F
    inputs = L * (4 * C * C + ffn) + M * 2 * C * C
    outputs = M * (6 * C * C + ffn) + V * C
    scores = 12 * L * C * S * S + 12 * M * C * S * T + 6 * M * C * T * T
    return B * (6 * inputs * S + 6 * outputs * T + scores)


def variants(shape):
    experts = ["dense"] if SHAPES[shape][5] == 1 else ["sorted", "grouped"]
    return [f"{a}-{e}{c}" for a in ("sdpa", "plain") for e in experts for c in ("", "+compile")]


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
    low = torch_peer.low_precision(a)

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
                count = torch_peer.counts(expert, E)
                aux = 0.01 * E * (count / x.shape[0] * prob.mean(0)).sum()
            if low is not None:
                x = x.to(low)
            order = expert.argsort(stable=True)
            y = products(x[order], count, self.w1, self.w2, gated, low) * gate[order, None]
            return torch.zeros_like(y).index_copy(0, order, y).view(shape), aux

    products = (torch_peer.grouped if experts == "grouped"
                else torch.compiler.disable(torch_peer.by_slices))

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


def batches(a):
    import torch
    _, _, _, _, B, _, _, S, T, V = SHAPES[a.shape]

    def batch(gen):
        inputs = torch.randint(V, (B, S), generator=gen)
        text = torch.randint(V, (B, T + 1), generator=gen)
        return inputs, text[:, :-1].contiguous(), text[:, 1:].contiguous()

    return batch


if __name__ == "__main__":
    torch_peer.run(torch_peer.Peer(
        __file__, "encdec_torch", SHAPES, lambda shape: (SHAPES[shape][4], SHAPES[shape][8]),
        variants, build, batches, flops), "PyTorch peer of an encoder-decoder's training step")
