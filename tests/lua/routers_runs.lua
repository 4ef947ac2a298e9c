-- What help, lists, completion and the manual say of routers and balance rules; runs and models on
-- disk of one's own.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe = own.t, own.data, own.moe
local ok, is, with = t.ok, t.is, t.with
local engine = require "switchyard.engine"
local help = require "switchyard.help.help"
local folder, child = engine.runs_dir(), t.child

assert(os.execute(("mkdir -p '%s'"):format(folder)))

-- ---- help, lists, completion ----

nn.router("published", {
  rule = "as they say", paper = "aux 0.04 of a sum of K", source = "Someone 2020",
  route = function() end,
})

local function shows(name, ...)
  local text = (help.text(name) or ""):gsub("%s+", " ")
  for _, part in ipairs {...} do ok(text:find(part, 1, true), "?" .. name .. ": " .. part, text) end
end
shows("router", "nn.router(name,", "router=softmax an option of model.moe", "router a term")
shows("softmax", "x:softmax(dim=-1)", "router = \"softmax\"", "Lepikhin et al. 2020",
  "normalize=true", "aux=0.01", "z=0.001")
shows("nn.routers.sigmoid", "DeepSeek-V3", "scale=1", "gamma=0.001")
shows("threshold", "Any number of experts a token", "cutoff=0.5 least score")
shows("cutoff", "an option of nn.routers.threshold", "least score; from 0 to 1.")
shows("own_choice", "Not causal: an expert's tokens are chosen among all of a sequence.",
  "allow_leak=false")
shows("aux", "The load-balancing loss", "It needs a router that gives scores.")
shows("published", "as they say", "In the paper: aux 0.04 of a sum of K.", "Source: Someone 2020.")

for what, form in t.sorted {["nn.router"] = {route = print}, -- ?nn.router has all that it takes
                            ["nn.balance"] = {loss = print, rows = {{"bad", "number"}}}} do
  local text, missing = help.text(what), {}
  local _, why = pcall(nn[what:sub(4)], "bad", with(form, {nix = 1}))
  for name in tostring(why):match "there are: ([^\n]*)":gmatch "[%w_]+" do
    local is_there = name == "name" or text:find(name .. "=", 1, true)
    if not is_there then missing[#missing + 1] = name end
  end
  is(table.concat(missing, " "), "", "?" .. what .. " names all that is taken")
end

do -- routers()
  local list, by_name = routers(), {}
  for _, r in ipairs(list) do by_name[r.name] = r end
  ok(by_name.softmax and by_name.sigmoid and by_name.threshold, "the program's and one's own")
  is(by_name.softmax.defaults, "normalize=true aux=0.01 z=0.001", "their defaults")
  is(by_name.softmax.rule, "softmax over the E logits, the K largest", "their rule")
  ok(by_name.softmax.causal and not by_name.own_choice.causal, "whether they are causal")
  is(by_name.published.paper, "aux 0.04 of a sum of K", "the paper's defaults")
  is(by_name.gshard.top_k, 2, "experts a token, where the router says it")
  is(by_name.softmax.top_k, nil, "... and where the model does")
  ok(by_name.gshard.varies and not by_name.softmax.varies, "whether their number varies")
  local text = "\n" .. tostring(list) .. "\n"
  local function prints(pattern)
    ok(text:find(pattern), "printed: " .. pattern:match "%w+", text)
  end
  prints "^\nrouter +experts +future +source\n"
  prints "\ngshard +2%* +no +Lepikhin et al. 2020\n    the two largest"
  prints "\n    defaults: policy=random threshold=0.5 aux=0.01 scope=group "
  prints "\n    in the paper: aux 0.01 of each group's first choices"
  prints "\nsoftmax +top_k +no +Lepikhin[^\n]*\n    softmax over the E logits"
  prints "\npublished +top_k +no +Someone 2020\n    as they say\n    defaults: "
  prints "\nown_choice +top_k%*? +yes "
  local widest = 0
  for line in text:gmatch "[^\n]+" do widest = math.max(widest, utf8.len(line)) end
  ok(widest <= 80, "in 80 columns", widest)
end
nn.routers.published = nil

do -- completion
  local lines = require("switchyard.prompt.complete").lines
  local function offers(line, name)
    local all = "|" .. tostring(lines(line)):gsub("\n", "|") .. "|"
    ok(all:find("|" .. name .. "|", 1, true), line .. " -> " .. name, all)
  end
  offers('model.moe{router = "thr', "threshold")
  offers('model.moe{router = {"sig', "sigmoid")
  offers("nn.routers.own_c", "own_choice")
  offers("nn.balances.a", "aux")
  offers("rout", "routers")
end

local manual = child "--dump-help"
for _, part in ipairs {'"router = \\(dqsoftmax\\(dq ', '"router = \\(dqsigmoid\\(dq ',
                       '"balance = {aux = x, scope = x}"',
                       '"balance = {gamma = x, kind = x, momentum = x, recentre = x}"',
                       '"balance = {z = x}"',
                       "nn.router(name", "nn.balance(name", "routers() "} do
  ok(manual:find(part, 1, true), "the manual has " .. part)
end

-- ---- runs ----

local SCRIPT = [[
  nn.balance("even", {
    needs = "scores", rows = {{"even", "number", nil, 0, 1, help = "weight"}},
    loss = function(ctx, routing)
      nn.loss("even", (routing.importance - 1 / ctx.E):square():sum(), ctx:setting "even")
    end,
    update = function(ctx, load)
      local most = nn.state("most", tensor.zeros(ctx.E))
      nn.update(most, most:maximum(load))
    end,
  })
  nn.router("own", {
    rows = {{"cutoff", "number", 0.5, 0, 1, help = "least score"}}, balance = {aux = 0.02},
    route = function(ctx)
      local s = ctx:logits():sigmoid()
      local mean = nn.state("mean", tensor.zeros(ctx.E))
      return {chosen = s:gt(ctx:setting "cutoff"), gates = s, scores = s / s:sum(-1, true),
              update = function(load) nn.update(mean, mean * 0.9 + load * 0.1) end}
    end,
  })
  local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
  m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
    top_k = 2, expert_dim = 16, router = {"own", cutoff = 0.4}, balance = {even = 0.5}}
  r = train(m, d, {steps = 8, batch = 2, name = "own-router", eval_every = 0, checkpoint_every = 3,
    paused = true})
  r:steps(4):wait()
  r.cutoff = 0.45
  r:steps(3):wait()
  r:checkpoint()
  m:save(arg[1])
  print(("even %g, %d of it"):format(r.even, r:history("even.1").shape[1]))
  local c = m.cfg
  print(("cfg %s %g %g %g"):format(c.router.name, c.router.cutoff, c.balance.aux, c.balance.even))
  r:stop():wait()
]]

do
  local path = t.write(folder .. "/own_router.lua", SCRIPT)
  local out = child(("'%s' '%s/own-model'"):format(path, folder))
  ok(out:find("even 0.5, 7 of it\n", 1, true), "one's own rule has its loss and coefficient", out)
  ok(out:find("cfg own 0.4 0.02 0.5\n", 1, true), "options and defaults are the configuration", out)
  out = child "replay own-router"
  ok(out:find("unknown router 'own'", 1, true) and out:find("--code", 1, true),
    "without the script the router is not known", out)
  out = child "replay own-router --code"
  ok(out:find "identical through step 7", "replayed with it", out)
  out = child "resume own-router --code"
  ok(out:find "step 8/8", "resumed", out)
  out = child "replay own-router --code"
  ok(out:find "identical through step 8", "and replayed to its end", out)
  local m, why = model.load(folder .. "/own-model")
  ok(not m and why:find("unknown router 'own'", 1, true), "nor is a model read without it", why)
end

-- ---- a name of before names were checked ----

do
  local path = t.write(folder .. "/odd.lua", [[
    local words = require "switchyard.core.words"
    local how = os.getenv "ODD" and words.unchecked or function(f, ...) return f(...) end
    local soft = nn.routers.softmax
    how(nn.router, "two words", {rows = soft.rows, route = soft.route})
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
      top_k = 2, expert_dim = 16, router = "two words"}, d,
      {steps = 2, batch = 2, name = "odd-name", eval_every = 0}):wait()
  ]])
  local text = child("'" .. path .. "'")
  ok(text:find("router: a name is letters", 1, true), "an odd name is refused", text)
  text = child("'" .. path .. "'", {environment = "ODD=1"})
  ok(text:find "step 2/2", "a run of such a router", text)
  text = child "resume odd-name --code --steps 3"
  ok(text:find "step 3/3", "goes on by its stored script", text)
end

-- ---- unknown names, where few are known ----

for name, line in t.sorted {sofmax = "unknown router 'sofmax' (did you mean 'softmax'?)",
                            qqq = "unknown router 'qqq'; there are: "} do
  local text = child(("-e 'model.moe{router = \"%s\"}'"):format(name))
  ok(text:find(line, 1, true), line, text)
end

-- ---- a router or rule that was edited since ----

local EDITED = [[
  nn.router("edited", {rows = {{"power", "number", %s, 1, 9}}, gives = "scores",
    route = function(ctx)
      local s = ctx:logits():sigmoid() * ctx.options.power %s
      local gates, experts = s:topk(ctx.K, -1)
      return {gates = gates, experts = experts, scores = s / s:sum(-1, true)}
    end})
  nn.balance("spread", {rows = {{"spread", "number"}}, loss = function(ctx, routing)
    nn.loss("spread", routing.importance:square():sum()%s, ctx:setting "spread")
  end})
]]
local BEGIN = [[
  local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
  m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
    top_k = 2, expert_dim = 16, router = "edited", balance = {spread = 0.1}}
  train(m, d, {steps = 2, batch = 2, name = "edited", eval_every = 0}):wait()
]]
local RESUME = "print(pcall(train.resume, 'edited', {steps = 4}))"

do
  local path = folder .. "/edited.lua"
  local function with_script(power, router, rule, rest)
    t.write(path, EDITED:format(power, router, rule) .. rest)
    return child("'" .. path .. "'")
  end
  local text = with_script(1, "", "", BEGIN)
  ok(text:find "step 2/2", "a run of one's own router and rule", text)
  local router, rule = "router 'edited' is defined otherwise than then",
    "balance rule 'spread' is defined otherwise than then"
  local function refused(what, has, has_not, ...)
    text = with_script(...)
    ok(text:find("false\t", 1, true) and text:find("program", 1, true) and
      text:find(has, 1, true) and not text:find(has_not, 1, true), what, text)
  end
  refused("an edited router is named", router, rule, 1, "+ 0.5", "", RESUME)
  refused("so is one of another default", router, rule, 2, "", "", RESUME)
  refused("so is an edited rule", rule, router, 1, "", " * 2", RESUME)
  t.write(path, EDITED:format(1, "+ 0.5", ""))
  text = child(("-e '%s' -e \"%s\""):format(t.read(path):gsub("'", "'\\''"), RESUME))
  ok(text:find("router 'edited' was typed, so whether it is the same is not known", 1, true),
    "of one that was typed it is not known", text)
  text = with_script(1, "-- a word", "", "replay 'edited'" .. RESUME)
  ok(text:find("true\t", 1, true), "what computes the same goes on, however it is written", text)
end

-- ---- models on disk, with what was set while it ran and what a rule keeps ----

do
  nn.balance("kept", {
    rows = {{"kept", "number", nil, 0, 1, help = "share of what was"}},
    update = function(ctx, load)
      local mean = nn.state("mean_load", tensor.zeros(ctx.E))
      nn.update(mean, mean * ctx:setting "kept" + load)
    end,
  })
  local m = moe {layers = 1, router = {"threshold", cutoff = 0.4},
                 balance = {kept = 0.5, aux = 0.02}}
  local r = train(m, d, with(own.TRAIN, {paused = true}))
  r.cutoff, r.aux, r.kept = 0.45, 0.25, 0.75
  r:steps(2):wait()
  ok(m:save(folder .. "/kept-model"), "a model of one's own router is saved")
  local n, why = model.load(folder .. "/kept-model")
  ok(n, "and read", why)
  for name, want in t.sorted {cutoff = 0.45, aux = 0.25, kept = 0.75} do
    t.near(n.inputs[name]:item(), want, 1e-6, name .. ": what was set while it ran")
  end
  local name = "model.layers.0.mlp.mean_load"
  is(n.states[name]:hash(), m.states[name]:hash(), "a rule's state")
  is(n.cfg.router.cutoff .. " " .. n.cfg.balance.aux, "0.4 0.02", "the configuration")
  is(n:logits({1, 2, 3}):hash(), m:logits({1, 2, 3}):hash(), "the same logits")
  r:stop():wait()
  r:close()
end

do -- options of nn.moe that never had an effect are in the sources of stored models
  local more = {}
  model.define("handmade", function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("embedding", {cfg.vocab, 16}))
      x = nn.layer(1, function()
        return x + nn.moe(x, with({experts = 4, top_k = 2, expert_dim = 8}, more))
      end)
      return nn.head(x, nn.param("head", {cfg.vocab, 16}))
    end
  end)
  local r = train(model.handmade{vocab = d.vocab, context = 16}, d,
    with(own.TRAIN, {name = "handmade", save = true})):wait()
  local step, hash = r.step, r:hash()
  r:close()
  more = {scale = 2, gamma = 0.001}
  t.raises(function() model.handmade{vocab = d.vocab} end, "scale has no effect",
    "a new model is refused")
  r = train.resume("handmade", {paused = true})
  is(r.step .. r:hash(), step .. hash, "a stored one goes on")
  r:close()
end

t.done()
