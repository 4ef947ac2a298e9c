-- A name that is not defined is an error where it is read; _G and rawget are as in Lua, and so are
-- modules.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local is, ok = t.is, t.ok

t.refuses(function() return tenser end, "a name that is not defined", "undefined name 'tenser'",
  "; did you mean 'tensor'?")
t.refuses(function() return {lr = Lr} end, "in a table of options", "undefined name 'Lr'")
t.refuses(function() return nothing_like_it.x end, "what is indexed",
  "undefined name 'nothing_like_it'")
t.refuses(function() nothing_like_it() end, "what is called", "undefined name 'nothing_like_it'")
local message = select(2, pcall(function() return tenser end))
ok(message:find "strict.lua:%d+: undefined", "the line is told", message)
ok(not pcall(load "return nothing_like_it"), "in what is loaded")
ok(not pcall(coroutine.wrap(function() return nothing_like_it end)), "in a coroutine")

is(_G.nothing_like_it, nil, "_G.name is nil")
is(rawget(_G, "nothing_like_it"), nil, "rawget as well")
is(load("return nothing_like_it", "=x", "t", {})(), nil, "an environment of one's own")
is(load "_ENV = _G return nothing_like_it"(), nil, "_ENV = _G: as in Lua")

defined = 5
is(defined, 5, "defined: its value")
is(_G.defined, 5, "... also in _G")
defined = nil
is(defined, nil, "set to nil: nil")
unset = nil
is(unset, nil, "nil from the first")
_G.other = 6
is(other, 6, "defined through _G")
is(_, nil, "the last result, before there is one")
local seen = {}
for name in pairs(_ENV) do seen[name] = true end
ok(seen.other and seen.print, "pairs(_ENV)")
setmetatable(_G, {__index = function(_, name) return name == "magic" and 7 or nil end})
is(magic, 7, "a metatable of _G is asked")
ok(not pcall(function() return nothing_like_it end), "... and may know no better")
setmetatable(_G, nil)

-- a hole in a list
local lm = model.dense{layers = 1, dim = 16, heads = 2, context = 8, ffn_dim = 8}
for what, f in t.sorted{
  tensor = function() tensor{1, nil, 3, nil} end, zeros = function() tensor.zeros{2, nil, 3} end,
  ["data.text"] = function() data.text{"a", nil, "b"} end,
  decode = function() tokenizer.bytes():decode{1, nil, 2} end,
  compare = function() compare{"a", nil, "b"} end, logits = function() lm:logits{1, nil, 3} end,
  generate = function() lm:generate({1, nil, 3}, {tokens = 1}) end,
  permute = function() tensor.ones(2, 3):permute{2, nil, 1} end,
} do t.refuses(f, what .. ": a hole in its list", what .. ": element 2 of the list is nil") end
t.refuses(function() lm:logits{1, 2.5} end, "an id that is none", "token 2 is 2.5")
t.refuses(function() compare(train) end, "compare of what is no list", "compare{r1, r2}")

-- modules of users
t.write(t.scratch "of_a_user.lua",
  "local unpack = unpack or table.unpack\nmodule_global = 3\nreturn {unpack = unpack}")
package.path = t.scratch "?.lua" .. ";" .. package.path
is(require "of_a_user".unpack, table.unpack, "a module may look for names")
is(module_global, 3, "what it defines is seen")
t.done()
