-- nn.attention and what tells tokens apart by where they stand: nn.rope, nn.relative_bias,
-- nn.sinusoids; nn.memory, what a decoder reads of an encoder.  B batch, T queries and S keys of a
-- row, C width, H heads, G key-value heads, D head width.
--
--  1. In mode "decode" an attention to the tokens before keeps their keys and values in the cache
--     of the generation (d.attend).  What nn.memory is given to make is made once, with the keys
--     and values of those who attend to it (d.remember); within it attention is as in evaluation.
--  2. Where no option is given, the operations are those that there were before there were options:
--     stored runs are known by them.

local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"

local function description(what)
  return nn.description() or error(what .. ": only inside a model's function (see model.define)", 3)
end

-- One token after another, against those before?
local function decodes(d) return d.mode == "decode" and not d.remembering end

-- ---- where tokens stand ----

--- nn.rope(x (B,T,H,D), theta = 10000): rotary position embedding, halves.  Su et al. 2021
function nn.rope(x, theta)
  local d = description("rope")
  theta = {theta = theta or 10000}
  if d.side then return x:rope(theta) end -- an encoder's tokens are all there, from the first
  return x:rope(d.positions, theta)
end

local function places(n)
  local list = {}
  for i = 1, n do list[i] = i - 1 end
  return tensor(list):view(1, n)
end

-- Places (B,T) of tokens within the document that they are of, f32, each from 0: those of the row
-- less that where its run of equal documents begins.
local function places_within(documents)
  local B, T = table.unpack(documents.shape)
  local before = documents:narrow(2, 1, T - 1)
  local run = documents:narrow(2, 2, T - 1):ne(before):cast("f32"):pad(2, 1, 0):cumsum(2)
  local id = (run + places(B):view(B, 1) * T):cast("i32"):view(-1)
  local length = id:bincount(B * T):view(B, T)
  local first = (length:cumsum(2) - length):view(-1, 1):embedding(id)
  return places(T) - first:view(B, T)
end

--- nn.sinusoids(x (B,T,C), base = 10000, documents (B,T) i32 or nil) -> (1,T,C): sines in the first
-- half of the width, cosines in the other, of the positions of x's tokens; with documents (B,T,C),
-- of their positions in the document, so that what a row holds beside it changes nothing.  Vaswani
-- et al. 2017, section 3.5
function nn.sinusoids(x, base, documents)
  local d, T, C = description("sinusoids"), x.shape[2], x.shape[3]
  if C % 2 ~= 0 then error("sinusoids: the width must be even: it is " .. C, 2) end
  local waves = {}
  for i = 1, C // 2 do waves[i] = (base or 10000) ^ (-2 * (i - 1) / C) end
  local at
  if decodes(d) and not d.side then at = d.positions:cast "f32"
  else at = documents and T > 1 and places_within(documents) or places(T) end
  local angles = at:view(-1, T, 1) * tensor(waves):view(1, 1, C // 2)
  return angles:sin():cat(angles:cos(), 3)
end

-- The bucket, from 0, of a key so far from its query (key - query).  In logarithms equal borders
-- may fall apart by a rounding: powers stay on the upper side.
local function bucket(distance, n, most, both)
  local first = 0
  if both then
    n = n // 2
    first = distance > 0 and n or 0
    distance = math.abs(distance)
  else
    distance = math.max(-distance, 0)
  end
  local exact = n // 2
  if distance < exact then return first + distance end
  local far = math.log(distance / exact) / math.log(most / exact) * (n - exact)
  return first + math.min(exact + math.floor(far + 1e-9), n - 1)
end

local BIAS = {
  {"heads", "integer", nil, 1}, {"buckets", "integer", 32, 4, 1 << 16},
  {"distance", "integer", 128, 2, 1 << 24}, {"both", "boolean", false},
}

--- nn.relative_bias(x (B,T,C), {heads=, buckets=32, distance=128, both=}) -> (H,2R-1): what is
-- added to scores by the distance of the key from the query, for attention's bias=.  A table
-- (buckets, H) is learnt: half of the buckets are of one distance, the others grow with its
-- logarithm up to `distance`; both: keys after the query have buckets of their own, else they count
-- as distance 0.  Raffel et al. 2020, section 2.1
function nn.relative_bias(x, given)
  local d = description("relative_bias")
  local o = options.read("relative_bias", given, BIAS)
  if not o.heads then error("relative_bias: heads= is missing", 2) end
  if o.distance <= o.buckets // (o.both and 4 or 2) then
    error(("relative_bias: distance must be more than the %d that have a bucket each: it is %d")
      :format(o.buckets // (o.both and 4 or 2), o.distance), 2)
  end
  local R = decodes(d) and d.model.cfg.context or x.shape[2]
  local ids = {}
  for at = 1, 2 * R - 1 do ids[at] = bucket(at - R, o.buckets, o.distance, o.both) end
  local width = d.model.cfg.dim or x.shape[3]
  local w = nn.param("relative_attention_bias.weight", {o.buckets, o.heads}, width ^ -0.5,
    {role = "bias"})
  return nn.embedding(tensor(ids, {dtype = "i32"}), w):permute({2, 1}):contiguous()
end

nn._bucket = bucket

-- ---- what a decoder reads of an encoder ----

--- nn.memory(f, ...) -> what f returns, a tensor (B,S,C): what attention with memory= attends to.
-- A generation makes it once.
function nn.memory(f, ...)
  local d = description("memory")
  local before, side = d.remembering, d.side
  local again = d.recall and d.recall()
  if again then return again end
  d.remembering, d.side = true, "input"
  local memory = f(...)
  d.remembering, d.side = before, side
  if d.keep then d.keep(memory) end
  return memory
end

-- ---- attention ----

local ATTENTION = {
  {"heads", "integer", nil, 1}, {"kv_heads", "integer", nil, 1}, {"head_dim", "integer", nil, 1},
  {"theta", "number", 10000, 1, 1e12}, {"qk_norm", "boolean", false}, {"mask", "string"},
  {"documents", "any", false}, {"memory", "any"}, {"memory_documents", "any"}, {"bias", "any"},
  {"rope", "boolean"}, {"scale", "number", nil, 1e-6, 1e6}, {"dropout", "number", 0, 0, 0.99},
}

local MASKS = {full = 0, causal = 1, prefix = 2}

local function check(d, o)
  if not o.heads then error("attention: heads= is missing", 3) end
  o.mask = o.mask or (o.memory and "full" or "causal")
  local mask = MASKS[o.mask]
      or error("attention: unknown mask '" .. tostring(o.mask) .. "'; there are causal, full and "
        .. "prefix", 3)
  if o.memory and mask ~= 0 then
    error(("attention: mask = '%s' with memory=: its tokens are not in the order of x's")
      :format(o.mask), 3)
  end
  d.prefix = d.prefix or mask == 2
  if decodes(d) and mask == 0 and not o.memory then
    error("attention: a model with mask = \"full\" sees the whole text: it cannot write one "
      .. "token after another", 0)
  end
  if o.memory_documents and not (o.memory and o.documents) then
    error("attention: memory_documents= goes with memory= and documents=", 3)
  end
  if o.rope and o.memory then
    error("attention: rope = true with memory=: its tokens are not in the order of x's", 3)
  end
  if o.rope == nil then o.rope = not o.memory and not o.bias end
  return mask
end

-- (B,T) i32, or nil.
local function documents_of(d, o)
  if o.documents ~= true then return o.documents or nil end
  return d.mode ~= "build" and d.batch.documents or nil
end

-- Multiply-adds of scores and of values: by the lengths of both sides.
local function count_width(d, o, mask, width)
  local kind = o.memory and "memory" or mask == 0 and d.side and "input" or "context"
  d.widths = d.widths or {}
  d.widths[kind] = (d.widths[kind] or 0) + width
end

local function attend(d, o, mask, q, k, v)
  if decodes(d) and not o.memory then return d.attend(q, k, v, o.bias, o.scale) end
  local with = {mask = mask, doc = documents_of(d, o), doc_k = o.memory_documents or nil,
                prefix = mask == 2 and d.batch.prefix or nil, scale = o.scale, bias = o.bias}
  if o.dropout > 0 and d.mode == "train" then
    with.drop, with.key = o.dropout, engine.raw.draw_key()
  end
  return (q:attention(k, v, with))
end

--- nn.attention(x (B,T,C), {heads=, kv_heads=, head_dim=, theta=, qk_norm=, mask=, documents=,
-- memory=, memory_documents=, bias=, rope=, scale=, dropout=}) -> (B,T,C).  Vaswani et al. 2017;
-- Ainslie et al. 2023
function nn.attention(x, given)
  local d = description("attention")
  local o = options.read("attention", given, ATTENTION)
  local mask = check(d, o)
  local B, T, C = table.unpack(x.shape)
  local H, G = o.heads, o.kv_heads or o.heads
  local D = o.head_dim or C // H
  local function project(name, heads, from)
    local w = nn.param(name .. "_proj.weight", {heads * D, from.shape[3]})
    return nn.linear(from, w):view(B, from.shape[2], heads, D)
  end
  local function normed(name, y)
    return o.qk_norm and nn.rmsnorm(y, nn.param(name .. "_norm.weight", {D}, "ones")) or y
  end
  local function keys()
    local side = d.side
    d.side = o.memory and "input" or side
    local k, v = project("k", G, o.memory or x), project("v", G, o.memory or x)
    d.side = side
    return k, v
  end
  local q, k, v = project("q", H, x), nil, nil
  if o.memory and decodes(d) then
    k, v = d.remember(function()
      local k, v = keys()
      return normed("k", k), v
    end)
    q = normed("q", q)
  else
    k, v = keys()
    q, k = normed("q", q), normed("k", k)
  end
  if o.rope then q, k = nn.rope(q, o.theta), nn.rope(k, o.theta) end
  count_width(d, o, mask, H * D)
  local y = attend(d, o, mask, q, k, v)
  local out = nn.param("o_proj.weight", {C, H * D}, 0.02 / math.sqrt(2 * d.model.cfg.layers))
  return nn.linear(y:view(B, T, H * D), out)
end

return nn
