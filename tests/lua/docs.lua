-- The docs against what exists: every public global function and every method has an entry, every entry names
-- something that exists, every example runs, every option has a text.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok = tap.ok

local by_name, list = help.entries()

-- ---- one of each kind ----

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4, top_k = 2, expert_dim = 16}

local function fresh_run()
  return train(m, d, {steps = 1000000, batch = 1, eval_every = 0, checkpoint_every = 0}):wait(2)
end

local r = fresh_run()
local kinds = {tensor = tensor.ones(4, 3), tokenizer = tokenizer.bytes(), data = d, model = m, run = r,
               expert = r.layers[1].experts[2]}

local function field(v, name)
  local fine, value = pcall(function() return v[name] end)
  return fine and value or nil
end

-- ---- every entry names something ----

local function exists(name)
  local kind, method = name:match "^(%w+):([%w_]+)$"
  if kind then return kinds[kind] and (field(kinds[kind], method) or kind == "tensor" and tensor[method]) end
  if kinds[name] then return true end
  local v = _G
  local first, rest = name:match "^(%w+)%.(.+)$"
  if first and kinds[first] and field(kinds[first], rest) then return true end
  for part in name:gmatch "[%w_]+" do v = v ~= nil and field(v, part) or nil end
  return v ~= nil
end

for _, e in ipairs(list) do
  if not exists(e.name) then ok(false, e.name .. " is in the docs and does not exist") end
  if #(e.signature or "") == 0 or #(e.text or "") == 0 then ok(false, e.name .. " has a signature and a text") end
end
ok(#list > 150, "entries: " .. #list)

-- ---- everything public has an entry ----

local STANDARD = {}
for name in ([[assert collectgarbage dofile error getmetatable ipairs load loadfile next pairs pcall print rawequal
  rawget rawlen rawset require select setmetatable tonumber tostring type warn xpcall coroutine debug io math os
  package string table utf8]]):gmatch "%S+" do STANDARD[name] = true end

local function public(name) return type(name) == "string" and name:match "^%l[%w_]*$" end

-- Found by name, but for lua/run.lua only.
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
  ok(#missing == 0, "all of " .. prefixes[1] .. "... is in the docs", "missing: " .. table.concat(missing, " "))
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
for kind, v in pairs(kinds) do
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
  ok(rows and text:find("\n      " .. rows[1][1] .. "=" .. tostring(rows[1][3]), 1, true), name .. ": ?" .. name .. " lists them", text)
end

-- ---- found by what a user types ----

_G.mine = m
for asked, first in pairs {["mine:loss"] = "m:loss(", ["tensor.add"] = "a:add(", sum = "x:sum(", ["nn.moe"] = "nn.moe("} do
  local text = help.text(asked)
  ok(text and text:find(first, 1, true) == 1 or text and asked == "sum", "?" .. asked, text)
end
_G.mine = nil
ok(help.text "no such thing" == nil, "what is unknown has no text")

-- ---- every example runs ----

local function sandbox()
  local env = {d = d, m = m, r = r, a = tensor.ones(4, 3), b = tensor.ones(4, 3), x = tensor.ones(4, 3),
               tok = tokenizer.bytes(), print = function() end}
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
