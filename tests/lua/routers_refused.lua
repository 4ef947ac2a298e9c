-- What routers and balance rules refuse, and by which line.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, says = own.t, own.data, own.moe, own.says
local ok, with = t.ok, t.with
local function nothing() end

-- ---- options of a model ----

local function refused(more, line) says(function() moe(more) end, "model.moe: " .. line) end
refused({router = "softmx"}, "unknown router 'softmx' (did you mean 'softmax'?)")
refused({router = 5}, "router must be a name or {name, option = value}, got number")
refused({router = {cutoff = 1}}, "router must be a name or {name, option = value}, got table")
refused({router = {"threshold", cutof = 0.5}},
  "router 'threshold': unknown option 'cutof' (did you mean 'cutoff'?); there are: cutoff, frozen")
refused({router = {"threshold", cutoff = 2}},
  "router 'threshold': cutoff must be from 0 to 1: it is 2")
refused({router = {"threshold", cutoff = "x"}},
  "router 'threshold': cutoff must be a number, got string")
refused({router = {"by_id", prime = 0.5}},
  "router 'by_id': prime must be a whole number: it is 0.5")
refused({router = {"sigmoid", gamma = 0.01}},
  "router 'sigmoid': gamma is an option of balance: balance = {gamma = 0.01}")
refused({router = "Softmax"}, "unknown router 'Softmax' (did you mean 'softmax'?)")
refused({router = {"soft", cutoff = 1}},
  "router 'soft': unknown option 'cutoff'; there are: frozen")
refused({router = {"sigmoid", scale = 2}, scale = 3}, "scale is 2 in router and 3 beside it")
refused({scale = 2}, "scale has no effect with router 'softmax'")
refused({router = "by_id", normalize = false}, "normalize has no effect with router 'by_id'")
refused({balance = {gamma = 0.1}}, "gamma has no effect with router 'softmax'")
refused({router = "by_id", balance = {aux = 0.1}}, "aux has no effect with router 'by_id'")
t.raises(function() moe {balance = {axu = 0.1}} end,
  "model.moe: balance: unknown option 'axu' (did you mean 'aux'?); there are: aux, ")
refused({balance = {aux = -1}}, "balance: aux must be from 0 to 1000000: it is -1")
refused({router = "own_choice", capacity = 2},
  "capacity has no effect with router 'own_choice': each expert takes its own number of tokens")

function nn.routers.fun(...) return nn.routers.softmax(...) end
refused({router = {"fun", scale = 2}},
  "router 'fun': it is a function, which has no options: scale")

nn.router("pairs", {
  rows = {{"size", "integer", 2, 1, 8}}, route = nn.routers.soft.route,
  check = function(E, K, o)
    if K ~= o.size then return ("top_k is %d of %d experts, it takes %d"):format(K, E, o.size) end
  end,
})
refused({router = {"pairs", size = 3}}, "router 'pairs': top_k is 2 of 4 experts, it takes 3")
ok(moe {router = "pairs"}, "a check that finds nothing wrong")

do -- set live
  local r = train(moe {router = {"own_choice", allow_leak = true}}, d,
    with(own.TRAIN, {paused = true}))
  local function set() r.capacity = 1.5 end
  t.refuses(set, "capacity where there is none, live", "capacity has no effect with router "
    .. "'own_choice': each expert takes its own number of tokens",
    ("routers_refused.lua:%d: "):format(debug.getinfo(set, "S").linedefined))
  r:stop():wait()
  r:close()
  r = train(moe {router = "pairs"}, d, with(own.TRAIN, {paused = true}))
  t.refuses(function() r.top_k = 1 end, "a number that the router does not take, live",
    "router 'pairs': top_k is 1 of 4 experts, it takes 2")
  t.is(r.top_k .. r:resume():wait().state, "2done", "which changes nothing")
  r:close()
end

-- ---- later tokens ----

do
  local leak = "an expert's tokens are chosen among all of a sequence"
  local m, ids = moe {router = "own_choice"}, {1, 2, 3, 4, 5, 6, 7, 8}
  ok(m:loss(d, {batches = 1}) > 0, "a router that sees later tokens can be evaluated")
  local before = m:logits(ids):narrow(1, 1, 7)
  ids[8] = 20
  ok(t.furthest(m:logits(ids):narrow(1, 1, 7), before) > 0, "it does see them")
  says(function() train(m, d, own.TRAIN) end, "train: router 'own_choice' cannot train for the "
    .. "next token: " .. leak .. "; router = {\"own_choice\", allow_leak = true} does it all "
    .. "the same")
  for _, allow_leak in ipairs {false, true} do -- which is for training alone
    m = moe {router = {"own_choice", allow_leak = allow_leak}}
    says(function() m:generate({1, 2}, {tokens = 2}) end,
      "generate: router 'own_choice' cannot write one token after another: " .. leak)
  end
end

-- ---- what a router returns, and asks for ----

local returning
nn.router("returns", {
  gives = "scores", rows = {{"size", "integer", 2}, {"way", "string", "up"}},
  route = function(ctx) return returning(ctx) end,
})
local function wrong(line, f)
  returning = f
  says(function() moe {router = "returns"} end, "moe: router 'returns'" .. line)
end
local function good(ctx)
  local p = ctx:logits():softmax(-1)
  local gates, experts = p:topk(ctx.K, -1)
  return {experts = experts, gates = gates, scores = p}
end
local function but(changes)
  return function(ctx) return with(good(ctx), changes) end
end
local function chosen(changes)
  return function(ctx)
    local p = ctx:logits():softmax(-1)
    return with({chosen = p:gt(0), gates = p, scores = p}, changes)
  end
end
local function without(name)
  return function(ctx)
    local r = good(ctx)
    r[name] = nil
    return r
  end
end

wrong(" returned a nil, not a table {experts =, gates =}", nothing)
wrong(" returned experts: nil; it must be i32 (4, M)", without "experts")
wrong(" returned gates: nil; it must be f32 (4, 2)", without "gates")
wrong(" returned no scores, which it says that it gives (gives = \"scores\")", without "scores")
wrong(" returned experts: i32 (3, 2); it must be i32 (4, M)",
  but {experts = tensor.zeros({3, 2}, {dtype = "i32"})})
wrong(" returned experts: f32 (4, 2); it must be i32 (4, M)", but {experts = tensor.ones(4, 2)})
wrong(" returned gates: f32 (4, 3); it must be f32 (4, 2)", but {gates = tensor.ones(4, 3)})
wrong(" returned scores: f32 (4, 3); it must be f32 (4, 4)", but {scores = tensor.ones(4, 3)})
wrong(" returned plus: f32 (4, 4); it must be f32 (4, 16)", but {plus = tensor.ones(4, 4)})
wrong(" returned both experts and chosen; it must be one of them", but {chosen = tensor.ones(4, 4)})
wrong(" returned slots, which go with chosen", but {slots = 4})
wrong(" returned score, which nothing reads", but {score = 1})
wrong(" returned gate_on = 'middle'; there are output and input", but {gate_on = "middle"})
wrong(" returned gate_on = 'input' for 2 experts a token; it takes one", but {gate_on = "input"})
wrong(" returned chosen: f32 (4, 4); it must be bool (4, 4)", chosen {chosen = tensor.ones(4, 4)})
wrong(" returned slots = 17; it must be a whole number from 1 to 16", chosen {slots = 17})

local function asks(line, f)
  wrong(line, function(ctx)
    f(ctx)
    return good(ctx)
  end)
end
asks(": ctx:setting: there is no option 'sise'", function(ctx) ctx:setting "sise" end)
asks(": ctx:setting: way is up; what may change while it runs is a number",
  function(ctx) ctx:setting "way" end)
asks(": ctx:load: it is known when tokens are routed: in a balance rule",
  function(ctx) ctx:load "micro" end)
asks(": ctx.options has no 'sise': it is not in its rows",
  function(ctx) return ctx.options.sise end)
returning = function(ctx) return ctx:logits {weight = 1} end
says(function() moe {router = "returns"} end,
  "moe: router 'returns': ctx:logits: unknown option 'weight'; there are: x, w, b, init, extra, "
    .. "plus")
returning = function(ctx) ctx.K = 3 end
t.refuses(function() moe {router = "returns"} end, "ctx is read only",
  "moe: router 'returns': ctx: K cannot be set")

-- More chosen than slots: known when it runs.
returning = chosen {slots = 5}
t.refuses(function() moe {router = "returns"}:logits {1, 2, 3} end, "more than slots",
  "moe_experts: offsets: 0 to 12, there are 5 slots")

nn.balance("far", {
  rows = {{"far", "number"}}, loss = function(ctx) ctx:load "world" end,
})
says(function() moe {balance = {far = 1}} end,
  "moe: balance rule 'far': ctx:load: unknown scope 'world'; there are: micro, sequence, "
    .. "group, so_far, step")
nn.balances.far = nil

do -- mistakes in what users write: the line of their file, which router or rule, and what
  local path = t.write(require("switchyard.engine").runs_dir() .. "-slips.lua", [[
    local slip
    nn.router("slips", {gives = "scores", route = function(ctx)
      return slip(ctx)
    end})
    nn.router("checks", {route = print, check = function(E) return E.x.y end})
    nn.balance("slips", {rows = {{"slips", "number"}}, loss = function(ctx, routing)
      local x = routing.load.nix
    end})
    nn.balance("late", {rows = {{"late", "number"}}, update = function(ctx, load)
      nn.update(load, ctx.nix)
    end})
    function nn.routers.slipping(logits, K)
      local gates = logits:topk(K, 9)
    end
    return function(f) slip = f end
  ]])
  local set = dofile(path)
  os.remove(path)
  local function slips(more, line, text)
    t.refuses(function() moe(more) end, text, ("-slips.lua:%d: "):format(line) .. text)
  end
  local function slips_here(f, text)
    set(f)
    local place = ("routers_refused.lua:%d: "):format(debug.getinfo(f, "S").linedefined + 1)
    t.refuses(function() moe {router = "slips"} end, text,
      place .. "moe: router 'slips': " .. text)
  end
  slips_here(function(ctx)
    return ctx.missing.field + 1
  end, "ctx: unknown field 'missing'")
  slips_here(function(ctx)
    local y = ctx:logits():matmul(tensor.zeros(3, 3))
    return y
  end, "matmul: inner dimensions differ")
  slips_here(function(ctx)
    local y = ctx.options.nix
    return y
  end, "ctx.options has no 'nix': it is not in its rows")
  slips_here(function()
    error {code = 5}
  end, "table: ")
  slips_here(function(ctx)
    local x = ctx + 1
    return x
  end, "attempt to perform arithmetic on a ctx value")
  set(function(ctx) return ctx:load "micro" end) -- no line of it is under way any more
  slips({router = "slips"}, 2, "moe: router 'slips': ctx:load: it is known when tokens are routed")
  slips({router = "checks"}, 5, "model.moe: router 'checks': attempt to index a nil value")
  slips({balance = {slips = 1}}, 7, "moe: balance rule 'slips': tensor: no field or method 'nix'")
  slips({balance = {late = 1}}, 10, "moe: balance rule 'late': ctx: unknown field 'nix'")
  slips({router = "slipping"}, 13, "moe: router 'slipping': topk: ")
  for _, name in ipairs {"slips", "checks", "slipping"} do nn.routers[name] = nil end
  for _, name in ipairs {"slips", "late"} do nn.balances[name] = nil end
end

do -- what it gives must be so
  local function boasts(gives, line)
    nn.router("boasts", {gives = gives, rows = {{"prime", "integer", 7}},
                         route = nn.routers.by_id.route})
    says(function() moe {router = "boasts"} end, "moe: router 'boasts' did not ask for " .. line)
  end
  boasts("logits", "ctx:logits(), and says that it gives logits (gives = \"logits\")")
  boasts("bias", "ctx:bias(), and says that it gives bias (gives = \"bias\")")
end

do -- ids of a layer that has other tokens
  model.define("half", function(cfg)
    return function(ids)
      local h = nn.embedding(ids, nn.param("embed", {cfg.vocab, 8}))
      local o = {experts = 2, top_k = 1, expert_dim = 8, router = cfg.router}
      return nn.linear(nn.moe(h:narrow(2, 1, 2):contiguous(), o):view(-1, 8),
        nn.param("head", {cfg.vocab, 8}))
    end
  end)
  says(function() model.half {router = "by_id"} end, "moe: router 'by_id': it goes by token ids, "
    .. "and the layer has 2 tokens where the model was given 4 ids")
  says(function() model.half {router = "by_document"} end, "moe: router 'by_document': it goes by "
    .. "documents, and the layer has 2 tokens where the model was given 4 ids")
end

-- ---- the objects themselves ----

local function no_router(spec, line) says(function() nn.router("bad", spec) end, line) end
no_router(5, "nn.router: takes a name and a table with route = function(ctx)")
no_router({}, "router 'bad': route = function(ctx) is missing")
t.raises(function() nn.router("bad", {route = nothing, docs = "x"}) end,
  "router 'bad': unknown option 'docs' (did you mean 'doc'?); there are: name, rule, doc, source, ")
t.raises(function() nn.router("bad", {route = nothing, except = {on = "x"}}) end,
  "router 'bad': unknown except 'on' (did you mean 'one'?); there are: ")
no_router({route = nothing, gives = "logits score"},
  "router 'bad': unknown gives 'score' (did you mean 'scores'?); there are: logits, scores, bias, "
  .. "chance")
no_router({route = nothing, rows = {{"a", "whole"}}}, "router 'bad': rows[1] must be {name, "
  .. "\"integer\", \"number\", \"boolean\" or \"string\", default, least, most, help = text}")
no_router({route = nothing, rows = {{"a", "integer", 5, 0, 3}}},
  "router 'bad': rows: a must be from 0 to 3: it is 5")
no_router({route = nothing, rows = {{"a", "integer"}, {"a", "number"}}},
  "router 'bad': the option 'a' is there already")
no_router({route = nothing, rows = {{"allow_leak", "boolean"}}},
  "router 'bad': the option 'allow_leak' is there already")
no_router({route = nothing, rows = {{"a b", "number"}}}, "router 'bad': rows: a name is letters, "
  .. "digits and _, begins with a letter and is no word of Lua's: it is 'a b'")
says(function() nn.routers.bad = 5 end,
  "router 'bad': must be a table with route = function(ctx), got number")
nn.router("bad", {route = nothing, balance = {axu = 1}})
t.raises(function() moe {router = "bad"} end,
  "router 'bad': balance: unknown option 'axu' (did you mean 'aux'?); there are: aux, ")
nn.router("bad", {route = nothing, rows = {{"aux", "number", 1}}})
says(function() moe {router = "bad"} end,
  "router 'bad': its option 'aux' is one of balance= as well")

-- Names: the program's own stay, a user's may be defined again; what can be written in Lua.
do
  local softmax, aux, spec = nn.routers.softmax, nn.balances.aux, {route = nothing}
  local built_in = "router 'softmax': it is built in; one of your own has another name: "
    .. "nn.router(\"my_softmax\", {...})"
  says(function() nn.router("softmax", spec) end, built_in)
  says(function() nn.routers.softmax = nothing end, built_in)
  says(function() nn.routers.softmax = nil end, built_in, "... nor taken away")
  says(function() nn.balance("aux", {loss = nothing, rows = {{"aux", "number"}}}) end,
    "balance rule 'aux': it is built in; one of your own has another name: "
      .. "nn.balance(\"my_aux\", {...})")
  ok(rawequal(nn.routers.softmax, softmax) and rawequal(nn.balances.aux, aux), "both are there")
  nn.router("again", {rule = "one", route = nothing})
  nn.router("again", {rule = "two", route = nothing})
  t.is(nn.routers.again.rule, "two", "a user's may be defined again")
  nn.routers.again = nil
  for _, name in ipairs {"a b", "", "2nd", "two-words", "a/b", "end", "_own", "a\27[0m"} do
    local line = ": a name is letters, digits and _, begins with a letter and is no word of Lua's: "
      .. "it is '" .. name:gsub("%c", "?") .. "'"
    says(function() nn.router(name, spec) end, "router" .. line)
    says(function() nn.routers[name] = nothing end, "router" .. line)
    says(function() nn.balance(name, {loss = nothing, rows = {{"a", "number"}}}) end,
      "balance rule" .. line)
    says(function() model.define(name, function() end) end, "model.define" .. line)
  end
  says(function() model.define("load", function() end) end,
    "model.define: model.load is a function of the program's; take another name")
end

local function no_rule(spec, line) says(function() nn.balance("bad", spec) end, line) end
no_rule(nil, "nn.balance: takes a name and a table with loss or update")
no_rule({}, "balance rule 'bad': loss = function(ctx, routing) or update = function(ctx, load) is "
  .. "missing")
no_rule({loss = nothing}, "balance rule 'bad': rows are missing: the first is what turns it on")
no_rule({loss = nothing, needs = "x", rows = {{"a", "number"}}},
  "balance rule 'bad': unknown needs 'x'; there are: logits, scores, bias, chance")
no_rule({loss = nothing, rows = {{"aux", "number"}}},
  "balance rule 'bad': the option 'aux' is there already")
no_rule({loss = nothing, rows = {{"capacity", "number"}}},
  "balance rule 'bad': the option 'capacity' is there already")

t.done()
