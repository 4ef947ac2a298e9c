-- Random operations in a model's function: drawn anew in each step and micro-batch, the same in a
-- replay, a rewind and when recomputed, whatever was changed meanwhile; what would be frozen is
-- refused.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

-- A layer that adds noise of every kind; what it drew can be told from what it observes.
model.define("noisy", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("table", {cfg.vocab, cfg.dim}))
    x = nn.layer(1, function()
      local B, T, C = table.unpack(x.shape)
      local noise = tensor.randn(B, T, C)
      nn.observe("normal", noise:mean())
      nn.observe("uniform", tensor.rand(100):mean())
      nn.observe("double", tensor.rand(100, {dtype = "f64"}):cast "f32":mean())
      nn.observe("half", tensor.randn(100, {dtype = "bf16"}):cast "f32":mean())
      nn.observe("whole", tensor.randint(0, 1 << 20, 4, {dtype = "i64"}):cast "f32":mean())
      nn.observe("coins", tensor.randint(0, 1, 1000, {dtype = "bool"}):cast "f32":sum())
      nn.observe("fixed", tensor.rand(100, {seed = 7}):mean())
      return (x + noise * 0.1) * tensor.rand(B, T, C):gt(0.1):cast "f32"
    end)
    return nn.head(x, nn.param("head", {cfg.vocab, cfg.dim}))
  end
end)

local names = 0
local function start(more)
  names = names + 1
  local m = model.noisy{vocab = d.vocab, dim = 16, layers = 1, context = 16}
  return train(m, d, t.with({steps = 12, batch = 2, eval_every = 0, checkpoint_every = 4,
                             name = "draws-" .. names}, more))
end

local function values(r, name) return t.series(r, name .. ".1") end

local function different(list)
  local seen, n = {}, 0
  for _, v in ipairs(list) do
    if not seen[v] then n = n + 1 end
    seen[v] = true
  end
  return n
end

local r = start():wait()
for _, name in ipairs{"normal", "uniform", "double", "half", "whole"} do
  is(different(values(r, name)), 12, name .. ": drawn anew in each of 12 steps")
end
ok(different(values(r, "coins")) > 6, "coins: another number of heads in most steps")
is(different(values(r, "fixed")), 1, "with seed= it is constant")
is(values(r, "fixed")[1], tensor.rand(100, {seed = 7}):mean():item(),
  "... and what the seed gives elsewhere")

-- the same bits again
is(start():wait():hash(), r:hash(), "the same seed, the same draws")
ok(start{seed = 2}:wait():hash() ~= r:hash(), "another seed, others")
is(start{recompute = true}:wait():hash(), r:hash(), "recomputed: what was drawn before")
local back = start():wait()
back:rewind(5):wait()
back:resume():wait()
is(back:hash(), r:hash(), "rewound and done again")
ok(tostring(replay(back.name)):find "identical", "replayed", replay(back.name))

-- Micro-batches draw anew, and so do the steps after a change of their number.
local sums = start{accumulate = 2, batch = 1, paused = true}
every(sums, 6, function(self) if self.step == 6 then self.accumulate = 3 end end)
sums:resume():wait()
is(different(values(sums, "uniform")), 12, "no draw comes again when accumulate is changed")
local one, two = start{steps = 1}:wait(), start{steps = 1, accumulate = 2}:wait()
ok(values(one, "uniform")[1] ~= values(two, "uniform")[1],
  "the second micro-batch does not repeat the first's draws")

-- evaluation and decoding draw as well, as functions of their own seeds
local m = r.model
is(r:eval(), r:eval(), "an evaluation is repeatable")
local function written() return table.concat(m:generate({1}, {tokens = 20, seed = 3}), " ") end
is(written(), written(), "so is a generation")

-- what would be frozen, or has no value yet
local function body(f)
  model.define("frozen", function(cfg)
    return function(ids)
      f()
      return nn.embedding(ids, nn.param("table", {cfg.vocab, cfg.vocab}))
    end
  end)
  return function() model.frozen{vocab = 8, layers = 1, context = 4} end
end
t.refuses(body(function() return math.random() end), "math.random is refused", "math.random",
  "tensor.rand")
local random = math.random
t.refuses(body(function() return random(3) end), "also under another name", "math.random")
ok(pcall(math.random), "... and itself again afterwards")
local moment = os.time
for what, f in t.sorted {
  ["math.randomseed"] = function() math.randomseed() end, ["os.time"] = function() moment() end,
  ["os.clock"] = function() os.clock() end, ["os.date"] = function() os.date() end,
  ["os.tmpname"] = function() os.tmpname() end, ["os.execute"] = function() os.execute "true" end,
  ["io.read"] = function() io.read() end, ["io.lines"] = function() io.lines() end,
  ["io.popen"] = function() io.popen "true" end,
} do
  t.refuses(body(f), what .. " likewise", "draws.lua", what .. ": a model's function is run once",
    "the same in all steps")
end
for _, name in ipairs{"step", "loss", "state", "current_lr"} do
  t.refuses(body(function() return r[name] end), "r." .. name .. " likewise",
    "r." .. name .. ": a model's function", "nn.input")
end
ok(pcall(body(function()
  local same = os.time{year = 2000, month = 1, day = 1}
  return os.date("%F", same), os.getenv "HOME", r.name,
    io.lines((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")()
end)), "what is always the same is not")
ok(os.time() and os.clock() and os.date() and r.step, "... nor anything outside of such a function")
t.refuses(body(function() nn.state("s", tensor.randn(3)) end), "a state that begins with a draw",
  "state", "'s'", "seed=")
t.refuses(body(function() nn.state("s", tensor.zeros(3) + 1) end), "... with anything computed",
  "state", "'s'")
t.refuses(body(function() nn.input("i", -1, 0, 1) end), "an input outside of its range",
  "input: i must be from 0 to 1: it is -1")
t.refuses(body(function() nn.input("i", tensor{{0, 2}}, 0, 1) end), "an element of one",
  "input: i must be from 0 to 1: it is 2")
t.refuses(body(function() nn.input("i", tensor.zeros(3) + 1) end), "an input likewise",
  "input", "'i'")
t.refuses(body(function() tensor.randn(3, {grad = true}) end), "a draw that wants a gradient",
  "randn", "nn.param")
t.refuses(body(function() return tensor.randn(3):item() end),
  "a draw has no value while it is recorded", "no values")
ok(pcall(body(function() nn.state("s", tensor.randn(3, {seed = 1})) end)),
  "a state may begin with a seeded draw")
t.done()
