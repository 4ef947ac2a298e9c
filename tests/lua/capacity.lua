-- Capacity: which tokens find a place, by each rule, in groups; in training and evaluation; live
-- and replayed; what it refuses.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, says = own.t, own.data, own.moe, own.says
local ok, is, with, C, E, V, values = t.ok, t.is, t.with, own.C, own.E, own.V, t.values
local engine = require "switchyard.engine"

-- ---- the operation, beside a plain reference ----

-- Indices 1..n, those with larger p first, of equal ones the lower.
local function order_of(p, first, n)
  local order = {}
  for i = 1, n do order[i] = first + i - 1 end
  if p then
    table.sort(order, function(a, b) return p[a] > p[b] or p[a] == p[b] and a < b end)
  end
  return order
end

local function contains(list, e)
  for _, v in ipairs(list) do if v == e then return true end end
  return false
end

-- Experts of a token, those it has not chosen, by descending score, of equal ones the lower.
local function others(scores, chosen)
  local list = {}
  for e, s in ipairs(scores) do
    if s > 0 and not contains(chosen, e) then list[#list + 1] = e end
  end
  table.sort(list, function(a, b)
    return scores[a] > scores[b] or scores[a] == scores[b] and a < b
  end)
  return list
end

local function by_hand(x, o, p, scores)
  local kept, n, K = {}, #x // (o.groups or 1), #x[1]
  for i = 1, #x do kept[i] = {} for j = 1, K do kept[i][j] = 0 end end
  for first = 1, #x, n do
    local order, count, asked = order_of(p, first, n), {}, {}
    local function take(i, j, e)
      if e == 0 or (count[e] or 0) >= o.capacity then return false end
      count[e], kept[i][j] = (count[e] or 0) + 1, e
      return true
    end
    for j = 1, K do for _, i in ipairs(order) do take(i, j, x[i][j]) end end
    for _ = 1, o.rounds or 0 do
      for j = 1, K do
        for _, i in ipairs(order) do
          if x[i][j] ~= 0 and kept[i][j] == 0 then
            local at = i * K + j
            for _, e in ipairs(others(scores[i], x[i])) do
              local new = not contains(asked[at] or {}, e) and not contains(kept[i], e)
              if new then
                if not take(i, j, e) then
                  asked[at] = asked[at] or {}
                  table.insert(asked[at], e)
                end
                break
              end
            end
          end
        end
      end
    end
  end
  return kept
end

local function i32(x) return tensor(x, {dtype = "i32"}) end

-- Numbers 1..n, 0: none, of a seed.
local function choices(N, K, n, seed)
  local x, s = {}, seed
  for i = 1, N do
    x[i] = {}
    for j = 1, K do
      repeat
        s = (s * 1103515245 + 12345) % (1 << 31)
        x[i][j] = (s >> 16) % (n + 1)
      until x[i][j] == 0 or not contains({table.unpack(x[i], 1, j - 1)}, x[i][j])
    end
  end
  return x
end

local worst, over, cases = "", "", 0
for _, shape in ipairs {{1, 1}, {7, 1}, {24, 1}, {24, 2}, {64, 3}, {96, 2}} do
  local N, K = shape[1], shape[2]
  for _, groups in ipairs {1, 2, 4} do
    for _, way in ipairs {"position", "probability", "reroute", "both"} do
      for capacity = 1, 9, 4 do
        if N % groups == 0 then
          local x = choices(N, K, 6, N + K + capacity)
          local p = (tensor.randn(N, {seed = N + K}) * 3):round():table() -- ties
          local s = (tensor.rand(N, 6, {seed = N}) * 8):floor():table()
          local o = {experts = 6, capacity = capacity, groups = groups}
          local sorted = way == "probability" or way == "both"
          if way == "reroute" or way == "both" then o.rounds = 3 end
          local want = by_hand(x, o, sorted and p or nil, s)
          local kept = i32(x):moe_admit(with(o, {
            priority = sorted and tensor(p) or nil, scores = o.rounds and tensor(s) or nil}))
          local what = ("%d x %d, %d groups, %d places, %s; "):format(N, K, groups, capacity, way)
          if kept:hash() ~= i32(want):hash() then worst = worst .. what end
          local load = kept:moe_load {experts = 6, groups = groups}
          local n = kept:view(groups, -1):gt(0):cast("f32"):sum(-1):view(groups, 1)
          if (load:view(groups, 6) * n):max():item() > capacity + 1e-3 then over = over .. what end
          cases = cases + 1
        end
      end
    end
  end
end
ok(cases > 150, "many cases", cases)
is(worst, "", "admission is the plain reference's")
is(over, "", "no expert takes more of a group than it has places")
do
  local x = choices(40, 2, 5, 3)
  local rows, pos = i32(x):moe_dispatch {experts = 5, capacity = 4}
  local kept = i32(x):moe_admit {experts = 5, capacity = 4}
  local rows2, pos2 = kept:moe_dispatch {experts = 5}
  ok(rows:hash() == rows2:hash() and pos:hash() == pos2:hash(), "without groups as moe_dispatch")
  -- the paper's case: eight tokens to one of four experts, factor 1, at least four places
  local all = tensor.ones(8, 1, {dtype = "i32"}):moe_admit {experts = 4, capacity = 4}
  is(table.concat(all:view(-1):table(), " "), "1 1 1 1 0 0 0 0", "the earlier tokens are kept")
  local odd = i32 {{1}, {1}, {1}}:moe_admit {experts = 1, capacity = 1,
    priority = tensor {0, 0 / 0, 9}}
  is(table.concat(odd:view(-1):table(), " "), "0 1 0", "NaN is as infinity")
end
do -- places of each group, never more than capacity
  local x, o = i32(choices(12, 2, 3, 7)), {experts = 3, capacity = 3, groups = 3}
  local kept = x:moe_admit(with(o, {places = i32 {2, 0, 9}}))
  for g, places in ipairs {2, 0, 3} do
    local alone = x:narrow(1, g * 4 - 3, 4):contiguous()
    local want = places == 0 and alone * 0 or alone:moe_admit {experts = 3, capacity = places}
    is(kept:narrow(1, g * 4 - 3, 4):contiguous():hash(), want:hash(),
      ("a group of %d places an expert"):format(places))
  end
end
for _, e in ipairs {-1, 6} do
  t.raises(function() i32 {{1}, {e}}:moe_dispatch {experts = 5} end,
    ("moe_dispatch: expert %d of token 2 is outside 1 to 5 (0: none)"):format(e),
    ("expert %d is none"):format(e))
  t.raises(function() i32 {{1}, {e}}:moe_load {experts = 5} end, "moe_load: expert", "nor counted")
end
for line, f in t.sorted {
  ["moe_admit: places must be (groups)"] = {places = i32 {1, 2}},
  ["moe_admit: capacity is 0, must be at least 1"] = {capacity = 0},
  ["moe_admit: rounds is -1, must be at least 0"] = {rounds = -1},
  ["moe_admit: 3 groups do not divide the tokens"] = {groups = 3},
  ["moe_admit: rounds go by scores, and there are none"] = {rounds = 1},
  ["moe_admit: expert 5 of token 2 is outside 1 to 4 (0: none)"] = {experts = 4},
  ["moe_admit: priority must be (N) or (N, K) as expert"] = {priority = tensor.ones(5)},
  ["moe_admit: scores must be (N, E)"] = {scores = tensor.ones(4, 4)},
} do
  t.refuses(function()
    i32 {{1}, {5}, {0}, {2}}:moe_admit(with({experts = 5, capacity = 1}, f))
  end, line, line)
end

-- ---- a layer ----

-- All to the first expert; the output's rows are seen.
nn.router("to_first", {
  rule = "the first expert; gates by token",
  route = function(ctx)
    local p = ctx:logits():softmax(-1)
    local experts = tensor.ones({ctx.N, 1}, {dtype = "i32"})
    return {experts = experts, gates = p:gather(-1, experts), scores = p}
  end,
})
model.define("seen", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, {experts = E, top_k = cfg.K or 1, expert_dim = 8,
        router = cfg.router, capacity = cfg.capacity, aux = 0.1, z = 0.1})
    end)
    nn.observe("rows", y:view(-1, C):abs():max(-1))
    return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end)
local function seen(more) return model.seen(with({vocab = V, context = 16}, more)) end
local function run(m, more) return train(m, d, with(own.TRAIN, more)):wait() end

-- Which of the N tokens have an output: "11110000".
local function pattern(r, step)
  local s = ""
  for _, v in ipairs(values(r, "rows")[step]:table()) do s = s .. (v > 0 and "1" or "0") end
  return s
end

for _, case in ipairs {
  {{train = 1, least = 4}, ("1"):rep(8) .. ("0"):rep(24)}, -- of 32 tokens: 8
  {{train = 0.1, least = 4}, ("1"):rep(4) .. ("0"):rep(28)},
  {{train = 1, group = 8}, ("11000000"):rep(4)},
  {{train = 1, group = 8, multiple = 3}, ("11100000"):rep(4)},
  {{train = 1, group = 8, least = 4, multiple = 3}, ("11111100"):rep(4)},
  {{train = 1, group = 8, least = 4}, ("11110000"):rep(4)},
  {{train = 1, group = 16}, ("1111" .. ("0"):rep(12)):rep(2)},
  {1, ("1"):rep(8) .. ("0"):rep(24)},
} do
  local r = run(seen {router = "to_first", capacity = case[1]})
  is(pattern(r, 1), case[2], "the first have places, and others exactly 0")
  local share = select(2, case[2]:gsub("0", "")) / 32
  t.near(values(r, "drop.1")[1]:item(), share, 1e-6, "the drop rate says so")
  t.near(values(r, "dropped.1")[1][1]:item(), share, 1e-3, "and whose they are")
  is(values(r, "load.1")[1][1]:item(), E, "the load is before any drop")
  r:close()
end

-- 1.1 * 200 / 4 comes to a little more than 55: models of before there were tables keep their 56.
for places, capacity in t.sorted {[56] = 1.1, [55] = {train = 1.1}} do
  local r = run(seen {router = "to_first", capacity = capacity}, {batch = 20, context = 10})
  is(select(2, pattern(r, 1):gsub("1", "")), places, "places by a " .. type(capacity))
  r:close()
end

do -- by probability: those with the largest scores
  nn.router("certain", with({}, {
    rule = "the first expert; scores grow with the token's place",
    route = function(ctx)
      local place = {}
      for i = 1, ctx.N do place[i] = i * 7 % ctx.N end
      local s = (tensor(place):view(ctx.N, 1) + tensor {3, 2, 1, 0}:view(1, E)) + ctx:logits() * 0
      local p = s / s:sum(-1, true)
      local experts = tensor.ones({ctx.N, 1}, {dtype = "i32"})
      return {experts = experts, gates = s:narrow(2, 1, 1) / 100, scores = p}
    end,
  }))
  local capacity = {train = 1, drop = "probability", allow_leak = true}
  local r = run(seen {router = "certain", capacity = capacity})
  local want = ""
  -- s/sum: largest where the place is 0: 3/6, then 4/10, ...
  for i = 1, 32 do want = want .. (i * 7 % 32 < 8 and "1" or "0") end
  is(pattern(r, 1), want, "probability: the largest scores are kept")
  r:close()
  for drop, why in t.sorted {
    random = "serves the tokens by lot",
    reroute = "sends a token without a place where the others have left one",
  } do
    says(function() run(seen {router = "certain", capacity = {train = 1, drop = drop}}) end,
      ("train: capacity: drop = '%s' %s, so whether a token has its expert tells of later tokens: "
      .. "it cannot train for the next token; capacity = {..., allow_leak = true} does it all the "
      .. "same"):format(drop, why))
  end
  says(function() run(seen {router = "certain", capacity = {train = 1, drop = "probability"}}) end,
    "train: capacity: drop = 'probability' serves the most certain tokens first, so whether a "
    .. "token has its expert tells of later tokens: it cannot train for the next token; capacity "
    .. "= {..., allow_leak = true} does it all the same")
end

do -- at random
  local capacity = {train = 1, drop = "random", allow_leak = true}
  local a = run(seen {router = "to_first", capacity = capacity})
  local b = run(seen {router = "to_first", capacity = capacity})
  local one, two = pattern(a, 1), pattern(a, 2)
  is(select(2, one:gsub("1", "")), 8, "random: as many as there are places")
  ok(one ~= ("1"):rep(8) .. ("0"):rep(24), "not the first", one)
  ok(one ~= two, "others in each step")
  is(pattern(b, 1) .. pattern(b, 2), one .. two, "a function of seed and step")
  a:close()
  b:close()
  local same = 0
  local r = run(seen {router = "to_first", capacity = with(capacity, {group = 16})})
  for step = 1, 4 do
    local p = pattern(r, step)
    if p:sub(1, 16) == p:sub(17) then same = same + 1 end
    is(select(2, p:sub(1, 16):gsub("1", "")), 4, "places of each group")
  end
  ok(same < 4, "groups are apart")
  r:close()
end

-- Rerouted: the gate is the new expert's score; the gradient goes there.
own.same("reroute", "softmax", {dense = function(p)
  local s = p:softmax(-1)
  local _, experts = s:topk(1, -1)
  local kept = experts:moe_admit {experts = E, capacity = 4, groups = math.max(1, s.shape[1] // 16),
                                  rounds = 4,
                                  scores = s}
  local taken = (kept - 1):view(-1):maximum(0):one_hot {n = E} * kept:gt(0):cast "f32"
  return own.only(taken:gt(0), s)
end}, {K = 1, capacity = {train = 1, eval = 1, drop = "reroute", group = 16,
                             allow_leak = true},
       coefficients = {aux = 0, z = 0}})

do
  local rerouted = {train = 1, drop = "reroute", allow_leak = true}
  local r = run(seen {router = "to_first", capacity = rerouted})
  is(values(r, "drop.1"):max():item(), 0, "reroute: four times eight places for 32 tokens")
  is(values(r, "rerouted.1"):max():item(), 0.75, "of which three quarters went on")
  is(values(r, "load.1")[1][1]:item(), E, "the load is before that")
  r:close()
  local m = seen {router = "to_first", capacity = rerouted}
  m.inputs["mask.1"]:fill(0)
  engine.put(m.inputs["mask.1"], {0, -math.huge, 0, 0})
  r = run(m)
  t.near(values(r, "drop.1")[1]:item(), 0.25, 1e-6, "not to a disabled expert")
  r:close()
  t.refuses(function()
    seen {router = "threshold", capacity = {train = 1, drop = "reroute"}}
  end, "any number of experts", "moe: capacity: drop = 'reroute' is of K experts a token, and "
    .. "router 'threshold' says of each expert whether it is chosen")
  t.refuses(function()
    model.define("unscored", function()
      return function(ids)
        local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
        local y = nn.layer(1, nn.moe, x, {experts = E, top_k = 1, expert_dim = 8, router = "by_id",
                                          capacity = {train = 1, drop = "reroute"}})
        return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}))
      end
    end)
    model.unscored {vocab = V, context = 16}
  end, "no scores", "moe: capacity: drop = 'reroute' goes by scores, and router 'by_id' gives none")
end

-- ---- evaluation ----

do
  local ids = {}
  for i = 1, 16 do ids[i] = i end
  local m, free = seen {router = "to_first", capacity = {eval = 1}}, seen {router = "to_first"}
  ok(t.furthest(m:logits(ids):narrow(1, 1, 4), free:logits(ids):narrow(1, 1, 4)) == 0
    and t.furthest(m:logits(ids), free:logits(ids)) > 0, "eval: the first four have places")
  local a, b = run(m), run(free)
  is(a:hash(), b:hash(), "and training drops nothing")
  a:close()
  b:close()
  local n = moe {capacity = {train = 1, eval = 1}}
  local text = {}
  for i = 1, 16 * 3 + 5 do text[i] = i * i % V end
  local first = n:loss(text)
  n:loss {5, 6, 7, 5, 6, 7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 2, 4, 2, 4, 1}
  is(n:loss(text), first, "a sequence is a group: what is beside it does not matter")
  is(n:loss(d, {batches = 3, batch = 4}), n:loss(d, {batches = 3, batch = 4}), "nor in a batch")
  t.near(n:loss(d, {batches = 3, batch = 4}), n:loss(d, {batches = 3, batch = 1}), 1e-6,
    "of any size")
  ok(#n:generate({1, 2}, {tokens = 3}) > 0, "a text is written without drops")
end

-- ---- live, replayed, on disk ----

do
  local path = engine.runs_dir() .. "/capacity.lua"
  assert(os.execute(("mkdir -p '%s'"):format(engine.runs_dir())))
  t.write(path, [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
      top_k = 2, expert_dim = 16, capacity = {train = 1, eval = 1.5, drop = "random", group = 16,
      allow_leak = true}}
    r = train(m, d, {steps = 9, batch = 2, name = "capacity", eval_every = 3, checkpoint_every = 2,
      paused = true, accumulate = 2})
    r:steps(3):wait()
    r.capacity = 0.5
    r:steps(2):wait()
    print("live", r.capacity, m.cfg.capacity.train, m.cfg.capacity.drop, m.cfg.capacity.group)
    r.capacity = nil
    r:steps(2):wait()
    print("none", r.capacity, m.cfg.capacity.train, m.cfg.capacity.eval)
    r.capacity = 2
    r:steps(1):wait()
    local before = r:hash()
    r:rewind(4)
    print("then", r.capacity)
    r:steps(1):wait()
    r:checkpoint()
    m:save(arg[1])
    r:stop():wait()
  ]])
  local out = t.child(("'%s' '%s/capacity-model'"):format(path, engine.runs_dir()))
  ok(out:find("live\t0.5\t0.5\trandom\t16\n", 1, true), "r.capacity is the factor of training", out)
  ok(out:find("none\tnil\tnil\t1.5\n", 1, true), "nil: training drops nothing", out)
  ok(out:find("then\t0.5\n", 1, true), "rewound, it is what it was", out)
  out = t.child "replay capacity"
  ok(out:find "identical through step 5", "replayed", out)
  out = t.child "resume capacity"
  ok(out:find "step 9/9", "resumed", out)
  out = t.child "replay capacity"
  ok(out:find "identical through step 9", "and replayed to its end", out)
  local n = model.load(engine.runs_dir() .. "/capacity-model")
  is(n.cfg.capacity.drop .. n.cfg.capacity.train, "random0.5", "a saved model has it")
end

do -- threads and kernel sets: the same bits (tests/lua/exact.lua has the plain capacity)
  local path = engine.runs_dir() .. "/bits.lua"
  t.write(path, [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    for _, drop in ipairs{"position", "probability", "random", "reroute"} do
      local m = model.moe{layers = 1, dim = 32, heads = 2, context = 32, vocab = d.vocab,
        experts = 8, top_k = 2, expert_dim = 16, capacity = {train = 0.7, drop = drop, group = 64,
        allow_leak = drop ~= "position" or nil}}
      local r = train(m, d, {steps = 3, batch = 4, save = false, eval_every = 0}):wait()
      print("bits", drop, r:hash())
      r:close()
    end]])
  local function bits(environment)
    local text = {}
    for line in t.child("'" .. path .. "'", {environment = environment}):gmatch "bits[^\n]*" do
      text[#text + 1] = line
    end
    return table.concat(text, "\n")
  end
  local want = bits "SWITCHYARD_THREADS=1"
  is(select(2, want:gsub("bits", "")), 4, "four rules")
  is(bits "SWITCHYARD_THREADS=3", want, "the same bits for any number of threads")
  is(bits "SWITCHYARD_CPU=ref", want, "and of the plain kernels")
end

-- ---- routers with a capacity of their own ----

nn.router("bounded", {
  rule = "softmax, with a capacity", model = {capacity = {train = 1.25, eval = 2, least = 4}},
  paper = "capacity 2.5 and 4 of N/E", route = nn.routers.soft.route,
})
do
  local m = moe {router = "bounded"}
  is(m.cfg.capacity.train .. " " .. m.cfg.capacity.eval, "1.25 2", "a router has its own capacity")
  local given = moe({router = "bounded", capacity = 3}).cfg.capacity
  is(("%g %g %d"):format(given.train, given.eval, given.least), "3 2 4",
    "or the number that is given, and the rest its own")
  is(moe({router = "bounded", capacity = {train = 3}}).cfg.capacity.eval, nil, "or a table")
  is(moe({router = "bounded", capacity = false}).cfg.capacity, false, "or none")
  local r = train(m, d, with(own.TRAIN, {paused = true}))
  is(r.capacity, 1.25, "its factor")
  r.capacity = false
  is(r.capacity, nil, "false is none")
  r.capacity = nil
  r:resume():wait()
  is(r.capacity, nil, "none from now on")
  r:close()
  local bounded = {}
  for _, r in ipairs(routers()) do if r.name == "bounded" then bounded = r end end
  ok(bounded.defaults:find("capacity={train=1.25 eval=2 least=4}", 1, true), "routers() has it",
    bounded.defaults)
  ok(bounded.paper:find("capacity 2.5 and 4 of N/E", 1, true), "and as the paper counts")
  local x = seen {router = "bounded", K = 2}
  r = run(x)
  ok(values(r, "drop.1"):max():item() >= 0 and #r:history("drop.1"):table() == 4,
    "nn.moe has it as well")
  r:close()
end

-- ---- refused ----

local function refused(capacity, line)
  t.refuses(function() moe {capacity = capacity} end, line, "model.moe: " .. line)
end
refused({train = 1, dorp = "random"}, "capacity: unknown option 'dorp' (did you mean 'drop'?)")
refused({train = 1, drop = "first"}, "capacity: unknown drop 'first'")
refused({train = 0}, "capacity: train must be from 0.01 to 1000000: it is 0")
refused({drop = "random"}, "capacity: drop has no effect without train or eval")
refused({}, "capacity: neither train nor eval is given; without a capacity it is nil")
refused({eval = 1, group = 8},
  "capacity: group = 8 has no effect without train: in evaluation a sequence is a group")
refused({train = 1, allow_leak = true}, "capacity: allow_leak has no effect with drop = 'position'")
refused("much", "capacity must be a number, got string")
refused(0, "capacity must be from 0.01 to 1000000: it is 0")
refused(true, "capacity must be a number, got boolean")
t.refuses(function() run(moe {capacity = {train = 1, group = 24}}) end, "groups that do not divide",
  "moe: capacity: group is 24; it must divide the 32 tokens of a micro-batch (2 x 16)")
t.refuses(function() moe {router = "own_choice", capacity = {train = 1}} end, "a router without",
  "capacity has no effect with router 'own_choice'")
t.refuses(function() nn.router("bad", {route = print, model = {capacity = {trian = 1}}}) end,
  "a router's own", "router 'bad': model: capacity: unknown option 'trian'")

t.done()
