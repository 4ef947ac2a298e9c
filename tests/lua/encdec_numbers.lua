-- Numbers of model.encdec: what its weights begin with (T5's deviations, Switch's), where it drops
-- and how much, the formula of nn.sinusoids; and the same bits on any number of threads and every
-- kernel set, of spans, of pairs and of a mix of both.  TAP.  With "worker" as argument: print the
-- hashes that are compared.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near, with = t.ok, t.is, t.near, t.with
local nn = require "switchyard.model.nn"

-- ---- data and models that learn ----

local tok = tokenizer.bytes {sentinels = 20, pad = true}
local text = small.words(1200, tok)
local translations = assert(data.pairs(small.pair_file("encdec-numbers.tsv", 60,
  "de\tdie %w datei\tthe %w file\nfr\tle fichier %w\tthe file %w\n"),
  {to = "en", val = 0.1, tokenizer = tok}))
local both = data.mix {{text, 1, name = "text"}, {translations, 1, name = "pairs"}}

local SMALL = {layers = 2, decoder_layers = 2, dim = 16, heads = 2, input_context = 64,
               context = 64, vocab = tok, experts = 4, moe_every = 1, router = "switch",
               dropout = 0.1}
local DECODER = {layers = 2, dim = 16, heads = 2, context = 64, vocab = tok, experts = 4, top_k = 2,
                 expert_dim = 16, documents = true, balance = {aux = 0.01, scope = "step"}}

local TRAININGS = {
  {"spans", model.encdec, SMALL, text, "span"}, {"pairs", model.encdec, SMALL, translations},
  {"a mix", model.encdec, SMALL, both, "span"},
  {"pairs of a decoder", model.moe, DECODER, translations},
  {"a mix of a decoder", model.moe, DECODER, both, {next = 1, span = 1}},
}

local function hash(case, more)
  local _, family, o, d, objective = table.unpack(case)
  local r = train(family(o), d, with({steps = 3, batch = 3, accumulate = 2, objective = objective,
    eval_every = 3, eval_batches = 1, sampling = "epoch", seed = 4, warmup = 1, save = false},
    more)):wait()
  local bits = r:hash() .. r:history("val_loss"):hash()
  r:close()
  return bits
end

if arg[1] == "worker" then
  for i, case in ipairs(TRAININGS) do print("bits " .. i .. " " .. hash(case)) end
  return
end

-- ---- what weights begin with ----

local C, D, H, F, V = 64, 24, 4, 160, 400
local WIDE = {layers = 1, decoder_layers = 1, dim = C, heads = H, head_dim = D, ffn_dim = F,
              vocab = V, input_context = 32, context = 16, seed = 2}

-- Deviations by T5's code (mesh-TensorFlow, and transformers of factor 1), by names' ends.
local T5 = {
  {"shared%.weight$", 1}, {"relative_attention_bias%.weight$", C ^ -0.5},
  {"q_proj%.weight$", (C * D) ^ -0.5}, {"[kv]_proj%.weight$", C ^ -0.5},
  {"o_proj%.weight$", (H * D) ^ -0.5}, {"down_proj%.weight$", F ^ -0.5},
  {"_proj%.weight$", C ^ -0.5}, {"lm_head%.weight$", C ^ -0.5}, {"gate%.weight$", C ^ -0.5},
}

local function deviation(p)
  return (p - p:mean()):square():mean():sqrt():item(), p:abs():max():item()
end

local function begins(what, o, scale, most)
  local m = model.encdec(with(WIDE, o))
  for i, info in ipairs(m._info) do
    local p, want = m.params[i]:detach(), nil
    for _, row in ipairs(T5) do
      if info.name:find(row[1]) then want = want or row[2] * scale end
    end
    if not want then
      ok(info.name:find "norm" and p:min():item() == 1 and p:max():item() == 1,
        what .. info.name .. " begins with ones")
    else
      local got, furthest = deviation(p)
      near(got, want, want * 4 / math.sqrt(2 * p.size), what .. info.name .. ": deviation")
      ok(furthest <= most * want, what .. info.name .. ": bounds", furthest / want)
    end
  end
end

begins("", {}, 1, 6)
begins("1.0: ", {version = "1.0"}, 1, 6)
begins("mixtures: ", {experts = 4, moe_every = 1}, 1, 6)
-- a truncated normal's deviation is that after it was cut, at 2 of those before
begins("Switch: ", {init = {"truncated", 0.1}}, math.sqrt(0.1), 2 / 0.8796 + 1e-3)
begins("GShard: ", {init = {"uniform", 1}}, 1, math.sqrt(3) + 1e-6)
do -- scores of attention are not scaled: q is smaller for it
  local a = model.encdec(with(WIDE, {attention_scale = D ^ -0.5}))
  near(deviation(a.params["encoder.layers.0.self_attn.q_proj.weight"]:detach()), C ^ -0.5,
    0.02 * C ^ -0.5, "with attention_scale q begins as k does")
end

-- ---- where it drops ----

do
  local m = with(SMALL, {experts = false, moe_every = false, router = false})
  for _, name in ipairs {"experts", "moe_every", "router"} do m[name] = nil end
  local plain, seen = nn.dropout, {}
  nn.dropout = function(x, p)
    local kind = nn.mode()
    if kind == "train" then seen[#seen + 1] = ("%g"):format(p) end
    return plain(x, p)
  end
  local case = {"", model.encdec, with(m, {dropout = 0.25}), text, "span"}
  hash(case, {eval_every = 0, accumulate = 1, steps = 1, seed = 9, eval_batches = 1,
              sampling = "random"})
  nn.dropout = plain
  local of = {}
  for _, p in ipairs(seen) do of[p] = (of[p] or 0) + 1 end
  -- embeddings, norms: 2 each; blocks of the encoder 2 x 2, of the decoder 2 x 3; inner: 4
  is(of["0.25"], 2 + 2 + 4 + 6 + 4, "dropout: embeddings, blocks, what is within, last norms")
  is(next(of, next(of)), nil, "... all at one rate")
  nn.dropout = function(x) return x end
  local weights = hash(case)
  nn.dropout = plain
  ok(weights ~= hash {"", model.encdec, with(m, {dropout = 0}), text, "span"},
    "... and weights of attention")
end

-- ---- sinusoids ----

model.define("sines", function(cfg)
  return function(ids)
    local zero = nn.embedding(ids, nn.param("embed", {cfg.vocab, cfg.vocab}, "zeros"))
    return (zero + nn.sinusoids(zero, cfg.base)):view(-1, cfg.vocab)
  end
end)
for _, base in ipairs {10000, 50} do
  local width = 12
  local got = model.sines({vocab = width, context = 40, base = base})
    :logits {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0}
  local off = 0
  for at = 0, 11 do
    for i = 0, width // 2 - 1 do
      local angle = at / base ^ (2 * i / width)
      off = math.max(off, math.abs(got[at + 1][i + 1]:item() - math.sin(angle)),
        math.abs(got[at + 1][width // 2 + i + 1]:item() - math.cos(angle)))
    end
  end
  ok(off < 1e-6, ("sinusoids: sin and cos of t / %d^(2i/C)"):format(base), off)
end

-- ---- the same bits ----

local fast = os.getenv "SY_TEST_FAST"
local want = {}
for i, case in ipairs(TRAININGS) do
  want[i] = hash(case)
  is(hash(case, {recompute = true}), want[i], case[1] .. ": computed again, the same bits")
end
local sets = {{"ref", 1}, {"avx2", 3}, {"avx512", 2}}
for _, set in ipairs(fast and {sets[1], sets[2]} or sets) do
  local cpu, threads = table.unpack(set)
  local said = t.worker(cpu, threads)
  if not said:find "bits 1" and (said:find "SWITCHYARD_CPU" or said:find(cpu)) then
    t.skip("on " .. cpu, said:match "[^\n]*")
  else
    for i, case in ipairs(TRAININGS) do
      is(("\n" .. said):match("\nbits " .. i .. " ([^\n]*)"), want[i],
        ("%s: the same bits on %s with %d threads"):format(case[1], cpu, threads))
    end
  end
end

t.done()
