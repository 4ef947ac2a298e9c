-- The docs against what exists: every public global function and every method has an entry, every
-- entry names something that exists, every example runs, every option has a text.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok = tap.ok

local by_name, list = help.entries()

-- ---- one of each kind ----

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
                    top_k = 2, expert_dim = 16}

local function fresh_run()
  return train(m, d, {steps = 1000000000, batch = 1, eval_every = 0, checkpoint_every = 0}):wait(2)
end

local function small_bakeoff()
  return bakeoff{routers = {"softmax"}, data = d, model = {layers = 1, dim = 8, heads = 1,
    context = 8, experts = 2, expert_dim = 8}, budget = {tokens = 256}, seeds = 1,
    baselines = false, controls = false, name = "baked"}
end

local r = fresh_run()
local kinds = {tensor = tensor.ones(4, 3), tokenizer = tokenizer.bytes(), data = d,
               model = m, run = r, expert = r.layers[1].experts[2],
               router = r.layers[1].router, trace = trace(m, {1, 2, 3}),
               bakeoff = small_bakeoff()}

local function field(v, name)
  local fine, value = pcall(function() return v[name] end)
  return fine and value or nil
end

-- ---- every entry names something ----

local function exists(name)
  local kind, method = name:match "^(%w+):([%w_]+)$"
  if kind then
    return kinds[kind] and (field(kinds[kind], method) or kind == "tensor" and tensor[method])
  end
  if kinds[name] then return true end
  local v = _G
  local first, rest = name:match "^(%w+)%.(.+)$"
  if first and kinds[first] and field(kinds[first], rest) then return true end
  for part in name:gmatch "[%w_]+" do v = v ~= nil and field(v, part) or nil end
  return v ~= nil
end

for _, e in ipairs(list) do
  if not exists(e.name) then ok(false, e.name .. " is in the docs and does not exist") end
  if #(e.signature or "") == 0 or #(e.text or "") == 0 then
    ok(false, e.name .. " has a signature and a text")
  end
end
ok(#list > 150, "entries: " .. #list)

-- ---- what ?run says can be set can be, and nothing else of train's options ----

local listed = (help.text "run" or ""):gsub("%s+", " "):match "can be set, r%.lr = x: (.-); and the"
local settable = {}
local function now(name, default)
  local v = r._h:get(name)
  if type(v) == "number" and v < 0 then return 0 end -- computed from others
  if v == nil then v = m.cfg[name] end
  return v == nil and default or v
end
for name in (listed or ""):gsub("of a model with experts", ""):gmatch "[%w_]+" do
  settable[name] = true
  ok(pcall(function() r[name] = now(name) end), "r." .. name .. " = x")
end
for _, row in ipairs(help.options "train") do
  local can, why = pcall(function() r[row[1]] = now(row[1], row[3]) end)
  ok(can == (settable[row[1]] or false), "?run says whether r." .. row[1] .. " can be set", listed)
  ok(can or why:find "fixed for the run", "... or that it is fixed", why)
end

-- ---- everything public has an entry ----

local STANDARD = {}
for name in ([[assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs pcall
  print rawequal rawget rawlen rawset require select setmetatable tonumber tostring type warn xpcall
  coroutine debug io math os
  package string table utf8]]):gmatch "%S+" do STANDARD[name] = true end

local function public(name) return type(name) == "string" and name:match "^%l[%w_]*$" end

-- Found by name, but for lua/run/run.lua only.
local INTERNAL = {["model:new"] = true, ["model:logits_of"] = true, ["model:loss_of"] = true}

local function check_functions(t, prefixes)
  local missing = {}
  for name, v in pairs(t) do
    if public(name) and type(v) == "function" then
      local found = INTERNAL[prefixes[1] .. name] or false
      for _, prefix in ipairs(prefixes) do found = found or by_name[prefix .. name] ~= nil end
      if not found then missing[#missing + 1] = prefixes[1] .. name end
    end
  end
  table.sort(missing)
  ok(#missing == 0, "all of " .. prefixes[1] .. "... is in the docs",
    "missing: " .. table.concat(missing, " "))
end

local globals = {}
for name, v in pairs(_G) do
  if not STANDARD[name] then globals[name] = v end
end
check_functions(globals, {""})
for _, name in ipairs {"tensor", "tokenizer", "data", "model", "nn"} do
  check_functions(_G[name], {name .. ".", name .. ":"})
end
check_functions(nn.routers, {"nn.routers."})
for kind, v in tap.sorted(kinds) do
  local meta = debug.getmetatable(v)
  local methods = rawget(meta, "methods") or rawget(meta, "__index")
  ok(type(methods) == "table", kind .. ": its methods are a table", type(methods))
  if type(methods) == "table" then check_functions(methods, {kind .. ":", kind .. "."}) end
end

-- ---- options ----

for _, name in ipairs {"train", "model.moe", "model.dense"} do
  local rows = help.options(name)
  ok(rows and #rows > 5, name .. ": its options are listed")
  local without = {}
  for _, row in ipairs(rows or {}) do
    if not row.help then without[#without + 1] = row[1] end
  end
  ok(#without == 0, name .. ": every option has a text", table.concat(without, " "))
  local text = help.text(name)
  ok(rows and text:find("\n      " .. rows[1][1] .. "=" .. tostring(rows[1][3]), 1, true),
    name .. ": ?" .. name .. " lists them", text)
end

-- ---- found by what a user types ----

_G.mine = m
for asked, first in tap.sorted {["mine:loss"] = "m:loss(", ["tensor.add"] = "a:add(",
                                sum = "x:sum(", ["nn.moe"] = "nn.moe("} do
  local text = help.text(asked)
  ok(text and text:find(first, 1, true) == 1 or text and asked == "sum", "?" .. asked, text)
end
_G.mine = nil
ok(help.text "no such thing" == nil, "what is unknown has no text")
for _, part in ipairs{"a:fill(x)", "see ?model:fill"} do
  ok(help.text "fill":find(part, 1, true), "of a name that several have all are told: " .. part)
end

-- ---- options, fields, terms ----

local function shows(asked, ...)
  local text = help.text(asked) or ""
  for _, part in ipairs {...} do
    if not ok(text:gsub("%s+", " "):find(part, 1, true), "?" .. asked .. ": " .. part, text) then
      return
    end
  end
end

shows("lr", "an option of train", "learning rate at its highest; from 0 to 1000000.",
  "r.lr = x holds from the next step")
shows("r.lr", "an option of train")
shows("batch", "r.batch = x traces and plans again")
shows("capacity", "an option of model.moe",
  "also an option of tensor:moe_dispatch, model:upcycle, nn.moe",
  "capacity factor a term")
shows("top_k", "an option of model.moe", "an option of model:generate", "Experts a token (K)")
shows("mfu", "r.mfu a field: ?run", "the share of the FMA peak", "Model FLOPs utilization")
shows("r.mfu", "a field: ?run")
shows("temperature", "an option of model:generate", "a term")
shows("z-loss", "keeps them small")
shows("z_loss", "keeps them small")
shows("load-balancing loss", "Fedus et al. 2021")
shows("Capacity Factor", "N*K/E")
shows("experts", "an option of model.moe", "expert a term")
for _, term in ipairs {"perplexity", "switch", "epoch", "checkpoint", "journal", "gate", "router",
                       "nats", "spike", "dead expert"} do
  shows(term, "a term")
end
shows("seed", "tensor.seed(n)", "an option of train", "also an option of tensor.rand")
ok(not help.text("x"), "?x is no option of whatever has an x = in its signature")
for _, row in ipairs(help.options "train") do shows(row[1], "an option of train") end
for _, row in ipairs(help.options "model.moe") do shows(row[1], "an option of ") end

-- What papers and others call routers and balance rules leads to them.
for asked, name in tap.sorted {top2 = "nn.routers.gshard", ["top-2"] = "nn.routers.gshard",
                          topk = "routers", top1 = "nn.routers.switch",
                          ["aux loss"] = "nn.moe", ["aux-free"] = "nn.balances.bias",
                          ["load balancing"] = "nn.balances", ["z loss"] = "nn.moe",
                          ["capacity factor"] = "nn.moe",
                          ["router jitter"] = "nn.routers.switch"} do
  shows(asked, "a term", "See ?" .. name .. ".")
end
for asked, name in tap.sorted {["noisy top-k"] = "noisy_topk", ["Expert Choice"] = "expert_choice",
                          ["DeepSeek-V3"] = "deepseek_v3", top_p = "top_p", ["GPT-OSS"] = "gpt_oss",
                          ["ST-MoE"] = "st_moe"} do
  shows(asked, ('router = "%s"'):format(name))
end

local glossary = require "switchyard.help.glossary"
for _, term in ipairs(glossary) do
  ok(not term.see or help.entry(term.see), term.name .. " leads to an entry", term.see)
  ok(glossary.find(term.name) == term and term.text:find "%.$",
    term.name .. " is found and its text is a sentence")
end

-- ---- near names, only when near ----

local function near(asked) return table.concat(select(2, help.text(asked)) or {}, " ") end
ok(near "stpes" == "steps" and near "capcity" == "capacity", "a misspelt option",
  near "stpes" .. ", " .. near "capcity")
ok(near "trian":find "^train", "a misspelt function", near "trian")
ok(near "expret choise":find "expert_choice" and near "top3":find "top",
  "what is written another way", near "expret choise" .. ", " .. near "top3")
ok(near "foo" == "" and near "xyzzy" == "", "nothing is near to what is not", near "foo")
ok(not near("lrx"):find "contiguous", "a part of a word in a text is not near", near "lrx")

-- ---- one entry for a name, its forms work ----

local entry_of = {}
for _, e in ipairs(list) do
  local name = e.name:gsub(":", ".")
  -- a:save is of one, tensor.save of several
  ok(not entry_of[name] or name == "tensor.save", e.name .. " has one entry")
  entry_of[name] = true
end
for _, f in ipairs {"tensor.rand(2, 3, {seed = 1, dtype = 'f64'})",
                    "tensor.randn(2, {seed = 1, grad = true})",
                    "tensor.randint(1, 6, 2, 3, {seed = 1})"} do
  local fine, why = pcall(load("return " .. f))
  ok(fine, f, why)
end

-- ---- values ----

local function printed(value)
  local lines, before = {}, print
  local env = tap.globals_of(help.print)
  before = env.print
  env.print = function(...) lines[#lines + 1] = table.concat({...}, " ") end
  local fine, why = pcall(help, value)
  env.print = before
  return fine and table.concat(lines, "\n") or tostring(why)
end
for _, case in ipairs {{train, "train(m, d"}, {r, "r.step "}, {m, "m.params"},
                       {tensor.ones, "tensor.ones(n"}, {r.wait, "r:wait(step)"},
                       {tensor.ones(2), "a[i]"}, {nn.moe, "nn.moe(x"},
                       {tensor.einsum, "tensor.einsum("}} do
  local value, first = table.unpack(case)
  ok(printed(value):find(first, 1, true) == 1, "help of a value: " .. first,
    printed(value):sub(1, 200))
end
tap.refuses(function() help(3) end, "help of a number", "help: takes a name or what has one",
  "it is a number")
ok(printed "tensor.clip":find("it is a:clamp(lo, hi)", 1, true),
  "?tensor.clip is no option of train", printed "tensor.clip")
ok(printed "!=" == "nothing is called '!=' here; not equal is ~= in Lua", "?!=", printed "!=")
ok(printed "numel" == "nothing is called 'numel' here; the number of elements is a.size", "?numel",
  printed "numel")

-- ---- Lua's own, which no entry of ours describes, and what is another's here ----

for _, name in ipairs {"print", "ipairs", "error", "for", "end", "math.abs", "string.format",
                       "io.open", "os"} do
  ok(printed(name) == name .. " is Lua's own; see the Lua manual (www.lua.org/manual/5.4)",
    "?" .. name, printed(name))
end
ok(printed "string":find "^data.string%(" and printed "string":find "string is Lua's own; see",
  "?string is both", printed "string")
ok(printed "pairs":find "^data.pairs%(" and printed "pairs":find "pairs is Lua's own; see",
  "?pairs as well", printed "pairs")
ok(not printed("train"):find "Lua's own" and not printed("math.nosuch"):find "Lua's own",
  "and nothing else is")
ok(printed "m:sample":find("it is m:generate(prompt)", 1, true), "?m:sample", printed "m:sample")
shows("loss", "m:loss(dataset", "r.loss a field", "loss a term", "What training makes smaller")
shows("train", "up to a window's tokens at the text's ends are left out of a pass")
shows("r:fork", "what was set then, before the next one", "is not in r:fork{step = 800}")

-- ---- a model of one's own has an entry, so the prompt shows it ----

local made = model.define("docs_own", function(cfg) end)
ok(require("switchyard.prompt.show").text(made):find("model.docs_own{...}", 1, true),
  "what model.define gives is shown by its name",
  require("switchyard.prompt.show").text(made))

-- ---- what a router is given is written down ----

local given
function nn.routers.probe(logits, K, o)
  given = o
  return nn.routers.softmax(logits, K, o)
end
model.moe{layers = 1, dim = 16, heads = 2, context = 8, vocab = 16, experts = 4, top_k = 2,
          expert_dim = 16, router = "probe", capacity = 1}
nn.routers.probe = nil
local text = help.text "nn.routers"
for name in tap.sorted(given) do
  ok(text:find("%f[%w_]" .. name .. "%f[^%w_]"), "?nn.routers names the option " .. name, text)
end

-- ---- methods that are called with a dot ----

local past = setmetatable({_name = "none"}, require("switchyard.run.stored").Stored)
for _, case in ipairs {{function() local x = past.history "loss" return x end,
  "history: takes a stored run first: write s:history(...)"},
                       {function() local x = r.wait() return x end,
                         "wait: takes a run first: write r:wait(...), with a colon"},
                       {function() local x = r.eval(3) return x end, "eval: takes a run first"},
                       {function() local x = m.loss(d) return x end,
                         "loss: takes a model first: write m:loss(...)"},
                       {function() local x = m.generate "a" return x end,
                         "generate: takes a model first"},
                       {function() local x = r.layers[1].experts[1].disable() return x end,
                        "disable: takes an expert first: write x:disable(...)"},
                       {function() local x = r.layers[1].router.freeze() return x end,
                        "freeze: takes a router first: write x:freeze(...)"}} do
  tap.refuses(case[1], case[2], "tests/lua/docs.lua:", case[2])
end

-- ---- every example runs ----

local function sandbox()
  local env = {d = d, m = m, r = r, a = tensor.ones(4, 3), b = tensor.ones(4, 3),
               x = tensor.ones(4, 3), tok = tokenizer.bytes(), print = function() end}
  return setmetatable(env, {__index = _G})
end

-- Line by line, as at the prompt: a line that is not complete goes on in the next.
local function type_in(text, name)
  local env, typed = sandbox(), ""
  for line in (text .. "\n"):gmatch "(.-)\n" do
    typed = typed == "" and line or typed .. "\n" .. line
    local chunk, why = load("return " .. typed, name, "t", env)
    if not chunk then chunk, why = load(typed, name, "t", env) end
    if chunk then
      chunk()
      typed = ""
    elseif not why:find("<eof>", 1, true) then
      error(why, 0)
    end
  end
  if typed ~= "" then error("not complete: " .. typed, 0) end
end

local routers = {}
for name in pairs(nn.routers) do routers[name] = true end
local ran = 0
local quiet_help = help.print
help.print = function(name) assert(help.text(name)) end
for _, e in ipairs(list) do
  if e.example then
    if r.state ~= "running" then
      r:stop()
      while r.state == "paused" do r:wait() end
      r = fresh_run()
    end
    local fine, message = pcall(type_in, e.example, e.name)
    ran = ran + 1
    if not fine then ok(false, "example of " .. e.name, message) end
  end
end
help.print = quiet_help
for name in pairs(nn.routers) do
  if not routers[name] then nn.routers[name] = nil end
end
ok(ran > 60, "examples that ran: " .. ran)
r:stop():wait()

tap.done()
