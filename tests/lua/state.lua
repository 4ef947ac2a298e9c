-- The Lua state: limits, loading, errors, help, completion.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is, raises = t.ok, t.is, t.raises

-- limits
raises(function() local function f() return f() + 1 end f() end, "stack overflow")
raises(function() string.rep("x", 1 << 62) end, "too large")
raises(function() setmetatable({}, {__index = function(s, k) return s[k] end}).x() end, "overflow")

-- only text is loaded
ok(load(string.dump(function() end)) == nil, "load refuses binary chunks")
is(load "return 1 + 1"(), 2, "load takes text")
is(load(function() return nil end)(), nil, "load takes a function")
is(load("return x", "name", "bt", {x = 5})(), 5, "load with an environment")
local path = t.write(t.scratch "chunk", string.dump(function() return 1 end))
ok(loadfile(path) == nil, "loadfile refuses binary chunks")
ok(not pcall(dofile, path), "dofile refuses binary chunks")

-- modules
local all = require "switchyard"
for _, name in ipairs{"tensor", "tokenizer", "data", "help", "quit"} do
  ok(all[name] ~= nil and all[name] == _G[name], "require 'switchyard' has " .. name)
end
is(all.string, nil, "... and nothing of Lua's own")
ok(not pcall(require, "switchyard.nothing"), "an unknown module inside the program")

-- coroutines, which are ours in part
local co = coroutine.create(function(a, b) local c = coroutine.yield(a + b) return c * 2, "end" end)
is(select(2, coroutine.resume(co, 1, 2)), 3, "resume passes values")
is(table.concat({select(2, coroutine.resume(co, 5))}, " "), "10 end", "... and results")
is(select(2, coroutine.resume(co)), "cannot resume dead coroutine", "a dead one")
is(select(2, coroutine.resume(coroutine.create(function() error("x", 0) end))), "x", "an error")
local gen = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
is(gen() + gen() + gen(), 6, "wrap")
is(gen(), nil, "wrap ends")
raises(gen, "cannot resume dead coroutine")
raises(coroutine.wrap(function() error "inside" end), "inside")
local closed
co = coroutine.wrap(function() local _ <close> = setmetatable({},
  {__close = function() closed = true end}) error "x" end)
pcall(co)
ok(closed, "wrap closes what an error left open")
is(select(2, coroutine.resume(coroutine.create(function() return coroutine.isyieldable() end))),
  true, "isyieldable")
raises(function() coroutine.resume(1) end, "coroutine expected")

-- tokenizers and data
local tok = tokenizer.bytes()
is(table.concat(tok:encode "abc", " "), "97 98 99", "encode")
is(tok:decode{97, 98}, "ab", "decode")
is(tok:decode(tensor({97, 98}, {dtype = "i32"})), "ab", "decode of a tensor")
is(tok.size, 256, "size")
local any = {}
for i = 0, 255 do any[#any + 1] = string.char(i) end
any = table.concat(any)
is(tok:decode(tok:encode(any)), any, "all bytes survive")
local d = data.string(string.rep("to be or not to be ", 100), {val = 0.25})
is(d.tokens, 1900, "data.string")
is(d.train.tokens + d.val.tokens, d.tokens, "train and val")
is(#d:sample(10, {seed = 1}), 10, "sample")
is(d:sample(10, {seed = 1}), d:sample(10, {seed = 1}), "sample with a seed")
local s = data.synthetic{domains = 3, tokens = 3000, seed = 1}
is(s.domains, 3, "synthetic: domains")
ok(s.entropy > 0 and s.entropy < math.log(s.vocab), "synthetic: entropy")
is(s.hash, data.synthetic{domains = 3, tokens = 3000, seed = 1}.hash, "synthetic: a seed says all")
local nothing, message, code = data.text "no such file"
ok(nothing == nil and message:find "no such file" and code == "NOTFOUND",
  "a missing file gives nil, message, code")
raises(function() nothing:sample() end, "nil value")

-- help and completion
local help, complete = require "switchyard.help.help", require "switchyard.prompt.complete"
local _, entries = help.entries()
local bad = 0
for _, e in ipairs(entries) do
  if not (e.name and e.signature and e.text) then
    bad = bad + 1
    print("# incomplete: " .. tostring(e.name))
  end
end
is(bad, 0, #entries .. " entries of help are complete")
ok(help.text "tensor.zeros":find "f32 unless given", "help by name")
ok(help.text "matmul":find "matrix product", "help of an operation by its last part")
ok(help.text "tok:encode" ~= nil, "help by a variable's method")
local function has(line, word)
  return ("\n" .. (complete.lines(line) or "")):find("\n" .. word .. "\n", 1, true)
end
a = tensor.ones(2)
ok(has("tens", "tensor"), "completes globals")
ok(has("x = tensor.ze", "zeros"), "... fields")
ok(has("a:mat", "matmul"), "... methods")
ok(has("a.sha", "shape"), "... fields of tensors")
ok(has("data.synthetic{dom", "domains = "), "... names of options")
ok(has("tensor.randn(3, {se", "seed = "), "... also in a last argument")
ok(has("?tensor.on", "ones"), "... after ?")
is(complete.lines "io.open('/et", true, "... file names in strings")
is(complete.lines "zzzz.", nil, "nothing for what does not exist")

-- that every example of the help runs is held by docs.lua

-- gradcheck and others: their errors name the user's line
raises(function() tensor.gradcheck(function(p) return p:nothing() end, {tensor.ones(2)}) end,
  "state.lua:")

t.done()
