-- Mixtures of ours against tests/peers/routers.py, the algorithms of Mesh TensorFlow and flaxformer
-- (Switch), Lingvo (GShard), expert choice, DeepSeek-V3 and quantile balancing written in PyTorch:
-- what one step of plain gradient descent makes of every parameter, with capacity, groups, drops
-- and rerouting, balance losses and bias.  Skips where $PYTHON (default python3) has no torch and
-- numpy.  TAP.

local engine = require "switchyard.engine"

local srcdir = os.getenv "srcdir" or "."
local peers = dofile(srcdir .. "/tests/peers/peers.lua")
peers.needs("torch", "numpy")
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local folder = peers.folder()

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local C, F, B, T = 16, 8, 4, 16

-- An embedding, a mixture, a head.
model.define("between", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, C}, 1.0))
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, {experts = cfg.experts, top_k = cfg.top_k, expert_dim = F,
        router = cfg.rule, capacity = cfg.slots or false, aux = cfg.aux, z = cfg.z,
        gamma = cfg.gamma, sequence = cfg.sequence, scope = cfg.scope})
    end)
    return nn.linear((x + y):view(-1, C), nn.param("head", {cfg.vocab, C}, 0.5))
  end
end)

local STEP = {steps = 1, batch = B, context = T, optimizer = "sgd", momentum = 0, nesterov = false,
              weight_decay = 0, lr = 1, warmup = 0, schedule = "constant", clip = 0, seed = 11,
              eval_every = 0, save = false}

local function save(path, x) assert(x:detach():save(path .. ".npy")) end

local function save_all(m, at, when)
  for i, info in ipairs(m._info) do save(at .. "/" .. info.name .. "." .. when, m.params[i]) end
  for name, state in pairs(m.states) do save(at .. "/" .. name .. "." .. when, state) end
end

local function prepare(m)
  for i, info in ipairs(m._info) do
    local times = info.name:find "experts" and 15 or info.name:find "gate" and 30 or 1
    engine.copy(m.params[i], m.params[i]:detach() * times)
  end
  for _, s in pairs(m.states) do
    local v = {}
    for j = 1, s.size do v[j] = 0.1 * math.cos(3 * j) end
    engine.put(s, v)
  end
end

local lines, drops = {}, {}
local function case(name, rule, words, o)
  local at = folder .. "/" .. name
  assert(os.execute("mkdir '" .. at .. "'"))
  local cfg = {vocab = d.vocab, context = T, rule = rule}
  for k, v in pairs(o) do cfg[k] = v end
  local m = model.between(cfg)
  prepare(m)
  save_all(m, at, "before")
  local x, y = tensor.zeros(B, T, {dtype = "i32"}), tensor.zeros(B, T, {dtype = "i32"})
  engine.batch(d, STEP.seed, 0, {tokens = x, targets = y})
  save(at .. "/tokens", x)
  save(at .. "/targets", y)
  local r = train(m, d, STEP):wait()
  drops[name] = o.slots and r:history("drop.1")[1][2] or 0
  r:close()
  save_all(m, at, "after")
  lines[#lines + 1] = ("%s %s experts=%d top_k=%d %s"):format(name, at, o.experts, o.top_k, words)
end

case("switch", {"switch", jitter = 0}, "rule=switch aux=0.5", {experts = 4, top_k = 1, aux = 0.5})
case("switch-drops", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=1",
  {experts = 4, top_k = 1, aux = 0.5, slots = 1})
case("gshard", {"gshard", policy = "all"}, "rule=gshard aux=0.5",
  {experts = 4, top_k = 2, aux = 0.5})
case("gshard-drops", {"gshard", policy = "all"}, "rule=gshard aux=0.5 factor=1.5",
  {experts = 4, top_k = 2, aux = 0.5, slots = 0.75}) -- there of N/E, here of N*K/E
-- What the sources round in three ways (int, round, ceil) is up here: 15 places of 14.4.
case("switch-groups", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=0.9 groups=4",
  {experts = 4, top_k = 1, aux = 0.5, scope = "micro", slots = {train = 0.9, group = 16}})
case("switch-even-groups", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=0.9 groups=4 even=1",
  {experts = 4, top_k = 1, aux = 0.5, scope = "group", slots = {train = 0.9, group = 16}})
case("gshard-even-groups", {"gshard", policy = "all"},
  "rule=gshard aux=0.5 factor=1.3 groups=4 even=1",
  {experts = 4, top_k = 2, aux = 0.5, scope = "group", slots = {train = 0.65, group = 16}})
case("switch-up", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=0.9",
  {experts = 4, top_k = 1, aux = 0.5, slots = 0.9})
case("switch-least", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=0.5 groups=4 least=4",
  {experts = 4, top_k = 1, aux = 0.5, scope = "micro",
   slots = {train = 0.5, group = 16, least = 4}})
case("switch-reroute", {"switch", jitter = 0}, "rule=switch aux=0.5 factor=0.9 reroute=4",
  {experts = 4, top_k = 1, aux = 0.5, slots = {train = 0.9, drop = "reroute", allow_leak = true}})
case("gshard-groups", {"gshard", policy = "all"}, "rule=gshard aux=0.5 factor=1.3 groups=4",
  {experts = 4, top_k = 2, aux = 0.5, scope = "micro", slots = {train = 0.65, group = 16}})
case("expert-choice", {"expert_choice", allow_leak = true, factor = 0.9},
  "rule=choice factor=0.9 groups=4", {experts = 4, top_k = 2})
case("expert-choice-micro", {"expert_choice", allow_leak = true, scope = "micro", factor = 0.7},
  "rule=choice factor=0.7", {experts = 4, top_k = 2})
case("st-moe", "st_moe", "rule=st_moe aux=0.5 z=0.1", {experts = 4, top_k = 2, aux = 1, z = 0.1})
local V3 = {experts = 8, top_k = 3, gamma = 0.25, sequence = 0.5}
case("deepseek", "deepseek_v3",
  "rule=deepseek groups=1 keep=1 scale=2.5 gamma=0.25 sequence=0.5 rows=4", V3)
case("deepseek-groups", {"deepseek_v3", groups = 4, keep = 2, scale = 1.5},
  "rule=deepseek groups=4 keep=2 scale=1.5 gamma=0.25 sequence=0.5 rows=4", V3)
case("quantile", "quantile", "rule=quantile", {experts = 8, top_k = 3})
for name, least in t.sorted {
  ["switch-drops"] = 0.05, ["gshard-drops"] = 0.1, ["switch-groups"] = 0.1, ["switch-up"] = 0.1,
  ["switch-least"] = 0.1, ["switch-reroute"] = 0.02, ["gshard-groups"] = 0.1,
} do
  t.ok(drops[name] > least, name .. ": something is dropped", drops[name])
end

local text, status = t.output(("'%s' '%s/tests/peers/routers.py' '%s'"):format(peers.python, srcdir,
  t.write(folder .. "/cases", table.concat(lines, "\n") .. "\n")))
t.is(status, 0, "the reference was computed")
local seen = 0
for name, what, off in text:gmatch "([%w-]+) (%S+) off (%S+)" do
  seen = seen + 1
  t.ok(tonumber(off) < 1e-3, name .. ": " .. what, off) -- of the largest change of this parameter
end
t.ok(seen == 14 * 6 + 3 * 7, "every parameter was compared", text)
os.execute("rm -rf '" .. folder .. "'")
t.done()
