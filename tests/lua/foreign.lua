-- What others call something leads to what exists here: every row of lua/help/foreign.lua.  TAP.
local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is
local foreign, hint = require "switchyard.help.foreign", require "switchyard.prompt.hint"

-- The tables are upvalues of what reads them.
local function upvalue(f, name)
  for i = 1, 60 do
    local n, v = debug.getupvalue(f, i)
    if n == name then return v end
  end
end

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
                    top_k = 2, expert_dim = 16}
local r = train(m, d, {steps = 1, batch = 1, eval_every = 0, checkpoint_every = 0,
                       save = false}):wait()
local known = {a = tensor.ones(2, 2), b = tensor.ones(2, 2), x = tensor.ones(2), y = tensor.ones(2),
               m = m, r = r,
               w = tensor.ones(2), logits = tensor.ones(2, 2), mask = tensor{true, false},
               f = io.stdout}

local function exists(path)
  local first, mark, last = path:match "^([%w_]+)([.:])([%w_]+)$"
  local v = known[first]
  if v == nil then v = _G[first] end
  if v == nil then return false end
  local good, value = pcall(function() return v[last] end)
  return good and (value ~= nil or last == "grad")
end

local names = 0
for _, list in ipairs {upvalue(foreign.name, "NAMES"), upvalue(foreign.name, "MEMBERS"),
                       upvalue(foreign.member, "LETTERS")} do
  for name, phrase in pairs(list) do
    names = names + 1
    for path in phrase:gmatch "%f[%w_]([%a_][%w_]*[.:][%a_][%w_]*)" do
      if not exists(path) then
        ok(false, name .. " leads to what exists", path .. " in: " .. phrase)
      end
    end
  end
end
ok(names > 250, "names of others: " .. names)

local there = {}
for name in pairs(upvalue(foreign.name, "MEMBERS")) do
  if rawget(tensor, name) ~= nil then there[#there + 1] = name end
end
is(table.concat(there, " "), "", "no name that tensors have is said to be another's")

local ours, listed = {}, {}
for _, what in ipairs {"train", "model.moe", "model.dense"} do
  for _, row in ipairs(help.options(what)) do ours[#ours + 1] = row[1] end
end
for _, name in ipairs {"dim", "keep", "correction", "dtype", "tokens", "temperature", "val"} do
  ours[#ours + 1] = name
end
table.move({"gshard", "switch"}, 1, 2, #ours + 1, ours) -- routers
for name in pairs(upvalue(foreign.option, "OPTIONS")) do
  if not foreign.option(name, ours) then listed[#listed + 1] = name end
end
is(table.concat(listed, " "), "", "options of others lead to options of ours")
tap.refuses(function() return known.a:t() end, "a:t()", "no field or method 't'; it is a.T")
is(hint.undefined "t", "undefined name 't'", "a letter alone is no method")
for _, what in ipairs {"text", "shards"} do
  for _, val in ipairs {"va.txt", {"va.txt"}} do
    tap.refuses(function() data[what]("x", {val = val}) end, what .. ": val of files",
      "val is a share", "data." .. what .. "{train = ..., val = ...}")
  end
end
is(foreign.option("d_ff", {"ffn_dim"}), "ffn_dim", "to the one that is there")
is(foreign.option("learning_rate", {"dim"}), nil, "and to none where it is not")

-- Lines: each of these is said to be something, and Lua's own lines are not.
for _, line in ipairs {"x != 1", "x += 1", "import torch", "from torch import nn", "def f(x):",
                       "f = lambda x: x",
                       "for i in range(3):", "while True:", "if x == 1:", "elif x:", "else:",
                       "x ** 2", "x++", "a && b",
                       "a || b", "!x", "x is None", "x is not None", "1 if x else 2", "x ? 1 : 2",
                       "a @ b", "a[1:2]", "a[:, 1]",
                       "x = [1, 2]", "f'{x}'", "zeros(3, dtype='f32')", "let x = 1", "x => x",
                       "{'a': 1}", "try:", "continue", "if x == 1: print(x)",
                       "while True: print(1)", "else: x", "for i in y: print(i)", "class A:"} do
  ok(foreign.line(line), "a line of another language: " .. line)
end
for _, line in ipairs {"x = 1", "for i = 1, 3 do print(i) end",
                       "if x ~= 1 then y = 2 else y = 3 end", "a[1][2]", "a[{1, 2}]",
                       "print('x != 1')", "-- x += 1", "t = {a = 1, b = 2}", "m:loss(d)",
                       "if m:loss(d) > 1 then x = 1 end", "goto next", "::next:: x = 1",
                       "while r:wait(3) do end", "f(x, {a = 1})", "f(a == b)",
                       "local x <const> = 3",
                       "a[{{1, 2}, {}}]", "x = a and b or c", "print(\"import this\")",
                       "class_of = 1"} do
  is(foreign.line(line), nil, "a line of Lua's: " .. line)
end
is(foreign.ask "!=", "not equal is ~= in Lua", "an operator")
ok(foreign.ask "+=" and foreign.ask "**" and foreign.ask "@" and not foreign.ask "+" and
  not foreign.ask "~=", "more of them")
is(foreign.ask "nn.Linear", foreign.member "Linear", "a name of a module")
ok(foreign.block "while True: print(1)" and not foreign.block "while x do\n  ::again::",
  "a block in a line, a label")
is(foreign.block "if x then\n  y = a", nil, "an unfinished block of Lua's")

is(hint.global "None", "nothing is nil", "hint.global: what others have")
is(hint.global "tensr", "did you mean 'tensor'?", "hint.global: the nearest name")
is(hint.global "foo", nil, "hint.global: nothing near")
tap.done()
