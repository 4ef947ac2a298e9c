-- Stored tensors (f16, q8_0, mxfp4): made by cast, printed, multiplied by as they are, never
-- written; what is not possible with them is refused by name.  Products are the bits of products
-- with the decoded weight.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local forms = {"bf16", "f16", "q8_0", "mxfp4"}
local bits = {bf16 = 16, f16 = 16, q8_0 = 8.5, mxfp4 = 4.25}
-- The most that a value is off, as a share of the largest of its block.
local off = {bf16 = 2 ^ -8, f16 = 2 ^ -11, q8_0 = 0.5 / 127 + 2 ^ -11, mxfp4 = 0.25}
local x = tensor.randn(5, 96, {seed = 2})

-- Normal numbers, each block of another size than those beside it.
local function weight(shape, seed)
  local x = tensor.randn(shape, {seed = seed}):view(-1, 32)
  return (x * 2 ^ (tensor.arange(x.shape[1]) % 7 - 3):view(-1, 1)):view(shape)
end
local w = weight({64, 96}, 1)

for _, form in ipairs(forms) do
  local s = w:cast(form)
  local d = s:cast "f32"
  is(s.bytes, 64 * 96 * bits[form] / 8, form .. ": bytes")
  is(s.dtype, form, form .. ": its dtype")
  local blocks = w:view(-1, 32)
  local far = ((d:view(-1, 32) - blocks):abs():max(-1) / blocks:abs():max(-1)):max():item()
  ok(far > 0 and far <= off[form], form .. ": its values", far)
  ok(w.T:cast(form):equal(w.T:contiguous():cast(form)), form .. ": those of a view")
  ok(s:equal(d) and s[3]:equal(d[3]) and s[3][5] == d[3][5]:item(),
    form .. ": elements are the decoded ones")
  ok(s.T:cast "f32":equal(d.T), form .. ": a transposed view is decoded")
  ok(s:narrow(2, 17, 41):cast "f32":equal(d:narrow(2, 17, 41)),
    form .. ": and one that begins within a block")
  ok((x:matmul(s.T)):equal(x:matmul(d.T)), form .. ": x @ w'")
  ok((s:matmul(x.T)):equal(d:matmul(x.T)), form .. ": w @ x'")
  local some = x:narrow(2, 17, 41)
  ok(some:matmul(s:narrow(2, 17, 41).T):equal(some:matmul(d:narrow(2, 17, 41).T)),
    form .. ": of columns that begin within a block")
  ok(x:linear(s):equal(x:linear(d)), form .. ": linear")
  ok(x:linear(s[{{5, 20}}]):equal(x:linear(d[{{5, 20}}])), form .. ": linear with some of its rows")
  ok(x:linear(s, tensor.ones(64)):equal(x:linear(d, tensor.ones(64))), form .. ": and a bias")
  local batch = tensor.randn(3, 2, 96, {seed = 5})
  ok((batch:matmul(s.T)):equal(batch:matmul(d.T)), form .. ": a batch")
  if form ~= "bf16" then -- which is a dtype of its own
    ok(s:matmul(s.T):equal(d:matmul(d.T)), form .. ": w @ w'")
    local ids = tensor{{0, 63}, {7, 7}}:cast "i32"
    ok(s:embedding(ids):equal(d:embedding(ids)), form .. ": embedding")
    local first = tensor{0, 15}:cast "i32"
    ok(s[{{5, 20}}]:embedding(first):equal(d[{{5, 20}}]:embedding(first)),
      form .. ": embedding in some of its rows")
    ok(s:index_select(tensor{64, 1,
      9}:cast "i32"):equal(d:index_select(tensor{64, 1, 9}:cast "i32")), form .. ": rows")
    ok(s:clone():hash() == s:hash() and s:hash() ~= d:hash(), form .. ": a clone has the bytes")
    ok(tostring(s):find(form .. " (64, 96)   " .. s.bytes .. " bytes   min", 1, true),
      form .. ": printed", tostring(s))
  end
end

-- ---- gradients: through the weight to x, never to the weight ----

local experts, dim, hidden = 4, 32, 64
local tokens = tensor.randn(9, dim, {seed = 7})
local choice = tensor.randint(0, experts - 1, 9, 2, {seed = 3, dtype = "i32"}) + 1
local gates = tensor.rand(9, 2, {seed = 4})
local up, gate = weight({experts, hidden, dim}, 8), weight({experts, hidden, dim}, 9)
local down = weight({experts, dim, hidden}, 10)
local targets = tensor.arange(9):cast "i32"

local function gradient(f, of)
  local leaf = of:clone():grad(true)
  local y = f(leaf)
  y:backward()
  return y, tensor.clone(leaf.grad)
end

local function alike(what, f, of, ...)
  local stored, decoded = {}, {}
  for i, v in ipairs{...} do
    stored[i], decoded[i] = v, v:cast "f32"
  end
  local y1, g1 = gradient(function(leaf) return f(leaf, table.unpack(stored)) end, of)
  local y2, g2 = gradient(function(leaf) return f(leaf, table.unpack(decoded)) end, of)
  ok(y1:equal(y2), what .. ": forward", tostring(y1) .. " " .. tostring(y2))
  ok(g1:equal(g2), what .. ": gradient of x")
end

for _, form in ipairs(forms) do
  alike(form .. " matmul", function(a, s) return ((a:matmul(s.T)) * (a:matmul(s.T))):sum() end, x,
    w:cast(form))
  alike(form .. " linear", function(a, s) return (a:linear(s) ^ 2):sum() end, x, w:cast(form))
  alike(form .. " head_loss", function(a, s) return (a:head_loss(s, targets)) end, tokens,
    up[1]:cast(form))
  local rows, pos, offsets = choice:moe_dispatch{experts = experts}
  alike(form .. " moe_experts", function(a, u, d, g)
    return (a:moe_experts(gates, rows, pos, offsets, u, d, g) ^ 2):sum()
  end, tokens, up:cast(form), down:cast(form), gate:cast(form))
  alike(form .. " plain moe_experts", function(a, u, d)
    return (a:moe_experts(gates, rows, pos, offsets, u, d) ^ 2):sum()
  end, tokens, up:cast(form), down:cast(form))
  alike(form .. " moe_matmul", function(a, u)
    return (a:moe_gather(rows):moe_matmul(offsets, u) ^ 2):sum()
  end, tokens, up:cast(form))
end

-- gate and up in turn, row by row, as gpt-oss has them: views of one stored tensor
local both = weight({experts, 2 * hidden, dim}, 11):cast "mxfp4"
local turn = {{}, {1, -1, 2}, {}}
local rows, pos, offsets = choice:moe_dispatch{experts = experts}
local second = {{}, {2, -1, 2}, {}}
local function through(all)
  return tokens:moe_experts(gates, rows, pos, offsets, all[second], down, all[turn])
end
ok(through(both):equal(through(both:cast "f32")),
  "experts whose weights are every second row of a stored tensor")

-- ---- threads and kernel sets ----

local before = tensor.threads()
local s, many = w:cast "q8_0", tensor.randn(300, 96, {seed = 12})
local one = (many:matmul(s.T)):hash()
for _, n in ipairs{1, 2, 3} do
  tensor.threads(n)
  is((many:matmul(s.T)):hash(), one, n .. " threads: the same bits")
end
tensor.threads(before)

-- ---- what is converted ----

ok(w.T:cast "q8_0":equal(w.T:contiguous():cast "q8_0"), "a strided tensor: by its own order")
local function slope(from_bf16) -- of x @ w' in w
  local p = w:clone():grad(true)
  local y = x:matmul(from_bf16(p:cast "bf16").T)
  ;(y * y):sum():backward()
  return p.grad
end
ok(slope(function(b) return b end):equal(slope(function(b) return b:cast "f32" end)),
  "bf16 that wants a gradient is widened first")

-- ---- refused ----

local q = w:cast "q8_0"
t.refuses(function() return q + 1 end, "no sum", "add: a is stored as q8_0", ':cast("f32")')
t.refuses(function() return x:cat(q, 1) end, "no cat", "cat: b is stored as q8_0")
t.refuses(function() return q:softmax() end, "no softmax", "softmax: x is stored as q8_0")
t.refuses(function() q[1] = 0 end, "not written",
  "assign: the tensor is stored as q8_0, which is only read")
t.refuses(function() q:fill(1) end, "not filled", "stored as q8_0")
t.refuses(function() q:grad(true) end, "no gradient",
  "grad: only f32 and f64 can have a gradient: the tensor is q8_0")
t.refuses(function() return w:clone():grad(true):cast "q8_0" end, "none through it",
  "no gradient goes through q8_0")
t.refuses(function() return tensor.randn(4, 33):cast "q8_0" end, "whole blocks only",
  "blocks of 32", "(4, 33)")
t.refuses(function() return tensor.full({1, 32}, 1 / 0):cast "mxfp4" end, "no infinity",
  "mxfp4 cannot hold inf (element 1)")
t.refuses(function() return q:cast "f16" end, "by f32 only", 'q8_0 to f16 goes by f32')
t.refuses(function() return tensor.zeros(64, {dtype = "q8_0"}) end, "not made at once",
  "q8_0 is for weights")
t.refuses(function() return x:cast "f64":matmul(q.T) end, "f32 only",
  "a is f64, and q8_0, which is read as f32")
t.refuses(function() return x:linear(q.T) end, "rows must lie in order", "linear", "q8_0")
t.refuses(function() return q:narrow(2, 1, 32):view(2048) end, "no view of a view without a copy",
  "view: x is stored as q8_0", "this view of it cannot be read in rows")
t.refuses(function() return q[1]:narrow(1, 17, 32):clone() end, "no copy that begins in a block",
  "not whole blocks in order")
t.refuses(function() return q[1]:narrow(1, 1, 20):clone() end, "nor one that ends there",
  "blocks of 32", "(20)")
t.refuses(function() return q:view(64, 2, 48):narrow(3, 1, 32):index_select(tensor{1}:cast "i32")
  end, "no rows with gaps", "index_select: rows of q8_0 must be whole")
t.refuses(function() return x:matmul(q:view(96, 8, 8)[{{}, {}, 1}]) end,
  "neither rows nor columns", "neither rows nor columns of b lie in order, which is q8_0")
t.refuses(function() q:save(t.scratch "never.safetensors") end, "no place in safetensors",
  "tensor: the format has no type for q8_0: convert to f32")
local saved, why = q:save "never.npy"
ok(not saved and why:find "q8_0 has no .npy type: convert to f32$", "nor in .npy", why)
for _, ending in ipairs{".npy", ".safetensors"} do
  local path = t.scratch("half" .. ending)
  local half = w:cast "f16"
  ok(half:save(path), "f16 into " .. ending)
  ok(tensor.load(path):equal(half), "and back, as f32")
end

-- ---- training beside a stored weight ----

local d = data.synthetic{domains = 2, tokens = 4000, seed = 1}
local table_ = tensor.randn(d.vocab, 32, {seed = 5}):cast "q8_0"
model.define("frozen_table", function(cfg)
  return function(ids)
    return nn.head(table_:embedding(ids):matmul(nn.param("mix", {32, 32})),
      nn.param("head", {cfg.vocab, 32}))
  end
end)
local function trained(dtype)
  if dtype then table_ = table_:cast(dtype) end
  local r = train(model.frozen_table{vocab = d.vocab, context = 16}, d,
    {steps = 5, batch = 2, eval_every = 0, checkpoint_every = 0,
      name = "frozen-" .. (dtype or "stored")})
  r:wait()
  return r:hash()
end
local stored = trained()
is(stored, trained "f32", "a run with a stored table in its model: the bits of the decoded one")

t.done()
