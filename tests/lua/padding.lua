-- What padding holds changes nothing of a mixture: loads, losses, series and parameters that are
-- learned are the same whatever the padded tokens are.  It walks through routers() and the rules
-- of capacity.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d = own.t, own.data
local ok, is, with, C, E, V = t.ok, t.is, t.with, own.C, own.E, own.V

-- Every third token (cfg.all: each) is padding and holds cfg.noise times something; no target is
-- behind padding.
model.define("holding", function(cfg)
  return function(ids)
    local N = ids.size
    local pads = {}
    for i = 1, N do pads[i] = (i % 3 == 0 or cfg.all) and 1 or 0 end
    local padding = tensor(pads):view(N, 1):gt(0)
    local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0)):view(N, C)
    local held = tensor.rand({N, C}) * cfg.noise
    x = padding:where(held, x)
    nn.padding(padding:view(ids.shape[1], ids.shape[2]):cast "i32" * -1)
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x:view(ids.shape[1], ids.shape[2], C),
        with({experts = E, top_k = cfg.K, expert_dim = 8, router = cfg.router,
              capacity = cfg.capacity}, cfg.coefficients))
    end):view(N, C)
    nn.observe("of_padding", own.only(padding, y):abs():max())
    return nn.linear(padding:where(tensor.zeros(N, C), x + y), nn.param("head", {V, C}, 0.2))
  end
end)

-- Series of a run and what its parameters came to, as text; what padding itself gets.
local function seen(more, noise)
  local m = model.holding(with(more, {vocab = V, context = 16, noise = noise}))
  local r = train(m, d, with(own.TRAIN, {lr = 0.01})):wait()
  local list, padding = {}, r:history("of_padding"):narrow(2, 2, 1):max():item()
  for _, s in ipairs(r:series()) do
    local name = type(s) == "table" and s.name or s
    if name:find "%.1" and not name:find "tok_s" then
      list[#list + 1] = name .. " " .. r:history(name):hash()
    end
  end
  table.sort(list)
  list[#list + 1] = "parameters " .. r:hash()
  r:close()
  return table.concat(list, "\n"), padding, #list
end

local function same(what, more)
  local a, padding, n = seen(more, 0.5)
  local b = seen(more, 20)
  ok(n > 4, what .. ": series are seen", a)
  is(padding, 0.0, what .. ": padding gets nothing")
  local apart, other = {}, {}
  for line in b:gmatch "[^\n]+" do other[line] = true end
  for line in a:gmatch "[^\n]+" do
    if not other[line] then apart[#apart + 1] = line:match "%S+" end
  end
  is(table.concat(apart, " "), "", what .. ": what it holds changes nothing")
end

for _, r in ipairs(routers()) do
  local except = nn.routers[r.name].except
  if except and except.alone then goto next end
  if r.name == "own_choice" then goto next end -- it takes its pick of padding, too
  local o = {r.name, allow_leak = not r.causal or nil}
  local good, why
  for _, K in ipairs {2, 1} do
    o.experts = r.name == "forced" and (K == 2 and "1,3" or "2") or nil
    local more = {router = o, K = K}
    good, why = pcall(model.holding, with(more, {vocab = V, context = 16, noise = 1}))
    if good then
      same(r.name, more)
      break
    end
  end
  ok(good, r.name .. " can be tried", why)
  ::next::
end

-- ---- nothing but padding ----

-- Which of a run's series, parameters and states are not finite where a step has no token at all.
local function not_finite(more)
  local m = model.holding(with(more, {vocab = V, context = 16, noise = 1, all = true}))
  local r = train(m, d, with(own.TRAIN, {steps = 2, accumulate = 2})):wait()
  local list = {}
  local function look(name, x)
    local finite = x.size == 0 or x:cast("f32"):abs():max():item() < math.huge
    list[#list + 1] = not finite and name or nil
  end
  for _, s in ipairs(r:series()) do
    local name = type(s) == "table" and s.name or s
    look(name, r:history(name))
  end
  for i, info in ipairs(m._info) do look(info.name, m.params[i]) end
  for _, name in ipairs(m._state_names) do look(name, m.states[name]) end
  if r.skipped > 0 then list[#list + 1] = r.skipped .. " steps skipped" end
  r:close()
  return table.concat(list, " ")
end

for _, r in ipairs(routers()) do
  local spec = nn.routers[r.name]
  if spec.except and spec.except.alone then goto next end
  for _, scope in ipairs {"micro", "step"} do
    for _, K in ipairs {2, 1} do
      local more = {K = K, router = {r.name, allow_leak = not r.causal or nil,
        experts = r.name == "forced" and (K == 2 and "1,3" or "2") or nil},
        coefficients = scope == "step" and {scope = scope} or nil}
      if pcall(model.holding, with(more, {vocab = V, context = 16, noise = 1})) then
        is(not_finite(more), "", ("%s, %s: a step of padding alone"):format(r.name, scope))
        break
      end
    end
  end
  ::next::
end

-- ---- as without it ----

-- Tokens of id 0 are padding.
model.define("beside", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
    nn.padding(ids:eq(0):cast "i32" * -1)
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, {experts = E, top_k = cfg.K, expert_dim = 8,
        router = cfg.router, capacity = cfg.capacity})
    end)
    return nn.linear(y:view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end)

-- Eight tokens alone and the same before 24 of padding.
local function beside(name, K, o)
  local m = model.beside {vocab = V, context = 32, K = K, router = o, capacity = false}
  local ids = {1, 2, 3, 4, 5, 6, 7, 8}
  local alone = m:logits(ids)
  for i = 9, 32 do ids[i] = 0 end
  is(m:logits(ids):narrow(1, 1, 8):contiguous():hash(), alone:hash(),
    name .. ": padding beside a text changes none of its bits")
end

local BY_LOT = {uniform = "by lot", record = "it is the router it says"}
for _, r in ipairs(routers()) do
  local spec = nn.routers[r.name]
  if spec.except and spec.except.alone or BY_LOT[r.name] then goto next end
  if r.name == "own_choice" then goto next end
  for _, K in ipairs {2, 1} do
    local o = {r.name, allow_leak = not r.causal or nil, experts = r.name == "forced"
      and (K == 2 and "1,3" or "2") or nil, balanced_eval = (r.name == "base"
      or r.name == "sinkhorn") and 1 or nil}
    if pcall(model.beside, {vocab = V, context = 32, K = K, router = o, capacity = false}) then
      beside(r.name, K, o)
      break
    end
  end
  ::next::
end
beside("expert_choice, factor 1.7", 2, {"expert_choice", factor = 1.7, allow_leak = true})

for _, drop in ipairs {"position", "probability", "random", "reroute"} do
  same("drop = " .. drop, {K = 2, router = "softmax", capacity = {
    train = 0.5, drop = drop, group = 16, allow_leak = drop ~= "position" or nil}})
end
for _, coefficients in ipairs {{aux = 0.1, scope = "sequence"}, {sequence = 0.1}, {cv2 = 0.1},
                               {simbal = 0.1}} do
  same("balance " .. next(coefficients), {K = 2, router = "softmax", coefficients = coefficients})
end
same("plain capacity", {K = 2, router = "softmax", capacity = 0.5})

do -- asked of a text and then of pairs, which have padding, a model tells the same of these
  local lines, text = {}, {}
  for i = 1, 200 do
    lines[i], text[i] = ("%d\t%d\n"):format(i * i, i), ("%d "):format(i * i % 89)
  end
  local of_pairs = assert(data.pairs(t.write(t.scratch "pairs.tsv", table.concat(lines)),
    {val = 0.5}))
  local words = data.string(table.concat(text), {tokenizer = of_pairs.tokenizer, val = 0.5})
  local function asked(name, before)
    local m = own.moe {vocab = of_pairs.tokenizer, router = {"expert_choice", allow_leak = true}}
    train(m, of_pairs, with(own.TRAIN, {steps = 60, lr = 1e-2})):wait():close()
    if before then m[name](m, words, {batches = 1, objective = before}) end
    return (m[name](m, of_pairs, {batches = 1, objective = "next"}))
  end
  for name, before in t.sorted {loss = "prefix", accuracy = "next"} do
    local alone = asked(name)
    is(asked(name, before), alone, ("m:%s of %s of a text and then of pairs"):format(name, before))
    ok(alone > 0, "... of which there is some", alone)
  end
end

t.done()
