"""T5 of transformers with the weights of tests/peers/encdec.lua: prints TAP.

A line of the list is "version folder padded": the folder has model/, inputs.npy (S), tokens.npy
(T), logits.npy (T, V), other.npy (the same, off by 1e-3), greedy.npy and beam.npy; the last
`padded` inputs are padding.
"""
import json
import os
import struct
import sys

import numpy as np
import torch
from transformers import T5Config, T5ForConditionalGeneration

count = 0
failed = 0


def ok(good, what, note=""):
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} - {what}")
    if not good:
        print(f"#   {note}")


def weights(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    out = {}
    for name, a in header.items():
        if name != "__metadata__":
            begin, end = a["data_offsets"]
            array = np.frombuffer(data[begin:end], "<f4").reshape(a["shape"])
            out[name] = torch.tensor(array.copy(), dtype=torch.float64)
    return out


def name_of(name, gated):
    """Ours -> transformers'."""
    if name in ("shared.weight", "lm_head.weight"):
        return name
    stack, rest = name.split(".", 1)
    if rest == "norm.weight":
        return f"{stack}.final_layer_norm.weight"
    if rest == "relative_attention_bias.weight":
        return f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    _, layer, rest = rest.split(".", 2)
    last = 2 if stack == "decoder" else 1
    places = {"input_layernorm.weight": (0, "layer_norm.weight"),
              "cross_attention_layernorm.weight": (1, "layer_norm.weight"),
              "post_attention_layernorm.weight": (last, "layer_norm.weight"),
              "mlp.down_proj.weight": (last, "DenseReluDense.wo.weight"),
              "mlp.gate_proj.weight": (last, "DenseReluDense.wi_0.weight"),
              "mlp.up_proj.weight": (last, f"DenseReluDense.wi{'_1' if gated else ''}.weight")}
    for which in "qkvo":
        places[f"self_attn.{which}_proj.weight"] = (0, f"SelfAttention.{which}.weight")
        places[f"cross_attn.{which}_proj.weight"] = (1, f"EncDecAttention.{which}.weight")
    at, what = places[rest]
    return f"{stack}.block.{layer}.layer.{at}.{what}"


def model_of(folder, version):
    with open(os.path.join(folder, "model", "config.json"), encoding="utf-8") as f:
        c = json.load(f)["switchyard"]["config"]
    gated = version == "1.1"
    config = T5Config(
        vocab_size=c["vocab"], d_model=c["dim"], d_kv=c["head_dim"], d_ff=c["ffn_dim"],
        num_layers=c["layers"], num_decoder_layers=c["decoder_layers"], num_heads=c["heads"],
        relative_attention_num_buckets=32, relative_attention_max_distance=128, dropout_rate=0.0,
        feed_forward_proj="gated-gelu" if gated else "relu", tie_word_embeddings=not gated,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    config.tie_word_embeddings = not gated  # transformers 5 says True whatever it was told
    m = T5ForConditionalGeneration(config).double().eval()
    state = {name_of(k, gated): v for k, v in
             weights(os.path.join(folder, "model", "model.safetensors")).items()}
    for stack in ("encoder", "decoder"):
        state[f"{stack}.embed_tokens.weight"] = state["shared.weight"]
    missing, unexpected = m.load_state_dict(state, strict=False)
    missing = [k for k in missing if k != "lm_head.weight" or gated]
    ok(not missing and not unexpected, f"{version}: every weight has a place",
       f"missing {missing}, unexpected {unexpected}")
    if not gated:
        m.lm_head.weight = m.shared.weight
    return m


def check(version, folder, padded):
    m = model_of(folder, version)

    def load(name):
        return np.load(os.path.join(folder, name + ".npy"), allow_pickle=False)

    inputs = torch.tensor(load("inputs").astype("i8")).view(1, -1)
    tokens = torch.tensor(load("tokens").astype("i8")).view(1, -1)
    mask = torch.ones_like(inputs)
    mask[:, inputs.shape[1] - padded:] = 0
    with torch.no_grad():
        want = m(input_ids=inputs, attention_mask=mask, decoder_input_ids=tokens).logits[0].numpy()
    top = np.abs(want).max()
    off = np.abs(load("logits") - want).max() / top
    ok(off < 2e-6, f"{version}: logits", f"off by {off:.2e} of the largest")
    far = np.abs(load("other") - want).max()
    ok(far > 5e-4, f"{version}: logits that are 1e-3 away are told")
    short = inputs[:, :inputs.shape[1] - padded]
    for name, beams in (("greedy", 1), ("beam", 4)):
        with torch.no_grad():
            found = m.generate(short, max_new_tokens=12, num_beams=beams, do_sample=False,
                               length_penalty=0.0, early_stopping="never")[0, 1:].tolist()
        if 1 in found:
            found = found[:found.index(1)]
        mine = load(name).tolist()
        ok(mine == found, f"{version}: {name}", f"{mine}, want {found}")


with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        version, folder, padded = line.split()
        check(version, folder, int(padded))
print(f"1..{count}")
sys.exit(1 if failed else 0)
