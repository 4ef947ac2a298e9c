-- The tensor interface of Lua: constructors, indexing, operators, operations, gradients, files.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is, near, raises = t.ok, t.is, t.near, t.raises

local function list(x)
  local items = x:contiguous():view(x.size):table()
  for i, v in ipairs(items) do items[i] = tostring(v) end
  return table.concat(items, " ")
end
local function shape(x) return table.concat(x.shape, "x") end

-- constructors
local a = tensor.randn(4, 3, {seed = 1})
is(shape(a), "4x3", "randn: shape")
is(a.dtype, "f32", "randn: f32 unless said")
is(a.size, 12, "size")
is(#a, 4, "#")
ok(a:equal(tensor.randn(4, 3, {seed = 1})), "the same seed draws the same")
ok(not a:equal(tensor.randn(4, 3, {seed = 2})), "another seed does not")
ok(not tensor.randn(5):equal(tensor.randn(5)), "without a seed each draw is new")
is(tensor.zeros(2, {dtype = "f64"}).dtype, "f64", "zeros: dtype")
is(tensor.zeros({2, 3}):sum():item(), 0, "zeros: shape as a table")
is(shape(tensor.zeros{2, 3, dtype = "i32"}), "2x3", "zeros: shape and options in one table")
is(tensor.ones(2, 3):sum():item(), 6, "ones")
is(tensor.full({2, 2}, 7):sum():item(), 28, "full")
is(list(tensor.arange(3)), "0.0 1.0 2.0", "arange(n)")
is(list(tensor.arange(1, 8, 3, {dtype = "i64"})), "1 4 7", "arange with a step")
is(list(tensor.eye(2)), "1.0 0.0 0.0 1.0", "eye")
local dice = tensor.randint(1, 6, 500, {seed = 3})
is(dice:min():item(), 1, "randint: lowest")
is(dice:max():item(), 6, "randint: highest is included")
ok(tensor.rand(500, {seed = 1}):min():item() >= 0 and tensor.rand(500, {seed = 1}):max():item() < 1,
  "rand is in [0, 1)")
is(tensor{{1, 2}, {3, 4}}[2][1], 3.0, "tensor of nested tables")
is(tensor({1, 2}, {dtype = "i32"}).dtype, "i32", "tensor with options")
is(tensor{true, false}.dtype, "bool", "booleans make bool")
for _, d in ipairs{"f32", "f64", "bf16", "i32", "i64", "u8", "bool"} do
  is(tensor.ones(2, {dtype = d}).dtype, d, "dtype " .. d)
end

-- indexing, views, assignment
local m = tensor.arange(6):view(2, 3)
is(m[1][3], 2.0, "a[i][j]")
is(m[-1][-1], 5.0, "from the end")
is(m[2][1]:item(), 3.0, "numbers answer item()")
is(list(m[2]), "3.0 4.0 5.0", "a[i] is a row")
m[1][2] = 9
is(list(m), "0.0 9.0 2.0 3.0 4.0 5.0", "a[i][j] = x writes through the view")
m[2] = 1
is(list(m), "0.0 9.0 2.0 1.0 1.0 1.0", "a[i] = x fills a row")
m[1] = tensor{7, 8, 9}
is(list(m), "7.0 8.0 9.0 1.0 1.0 1.0", "a[i] = tensor copies")
is(shape(m:transpose(1, 2)), "3x2", "transpose")
is(list(m:transpose(1, 2)), "7.0 1.0 8.0 1.0 9.0 1.0", "transpose: elements")
is(shape(tensor.zeros(2, 3, 4):permute(3, 1, 2)), "4x2x3", "permute")
is(shape(tensor.zeros(2, 3, 4):permute{-1, 1, 2}), "4x2x3", "permute from a table, from the end")
is(list(tensor.arange(10):narrow(1, 3, 4)), "2.0 3.0 4.0 5.0", "narrow counts from 1")
is(shape(m:view(3, -1)), "3x2", "view with -1")
is(shape(m:cat(m, 1)), "4x3", "cat")
is(shape(m:cat(m, -1)), "2x6", "cat from the end")
local base = tensor.zeros(4)
base:view(2, 2)[1][2] = 5
is(base[2], 5.0, "views share storage")

-- operators and broadcasting
local x, y = tensor{1, 2, 3}, tensor{4, 5, 6}
is(list(x + y), "5.0 7.0 9.0", "+")
is(list(x - 1), "0.0 1.0 2.0", "- number")
is(list(10 - x), "9.0 8.0 7.0", "number -")
is(list(2 * x), "2.0 4.0 6.0", "number *")
is(list(y / 2), "2.0 2.5 3.0", "/")
is(list(x ^ 2), "1.0 4.0 9.0", "^")
is(list(2 ^ -x), "0.5 0.25 0.125", "number ^ -tensor")
is(list(-x), "-1.0 -2.0 -3.0", "unary -")
is(shape(tensor.ones(3, 1) + tensor.ones(4)), "3x4", "broadcasting")
is((tensor.arange(3, {dtype = "i32"}) + 1).dtype, "i32",
  "integers stay integers with whole numbers")
is((tensor.arange(3, {dtype = "i32"}) * 0.5).dtype, "f32", "... and become floats with others")
is((tensor.ones(2, {dtype = "f64"}) * 0.5).dtype, "f64", "a number takes the tensor's dtype")
is(list(x:lt(2.5)), "true true false", "lt", nil)
ok(x:sum() > 5 and x:sum() <= 6, "tensors of one element compare")
is("sum " .. x:sum(), "sum 6", "..")

-- operations by the table: dimensions, options, several results
is(list(tensor{{1, 2}, {3, 4}}:sum(1)), "4.0 6.0", "sum(1)")
is(list(tensor{{1, 2}, {3, 4}}:sum(-1)), "3.0 7.0", "sum(-1)")
is(shape(tensor.ones(2, 3):sum{dim = 2, keep = true}), "2x1", "options by name")
is(shape(tensor.ones(2, 3):sum(2, {keep = true})), "2x1", "options after arguments")
is(tensor{1, 5, 2}:argmax():item(), 2, "argmax counts from 1")
local values, index = tensor{1, 5, 2}:topk(2)
is(list(values) .. " " .. list(index), "5.0 2.0 2 3", "topk: values and places from 1")
-- NaN is the largest, as PyTorch has it; max and argmax agree
for _, dtype in ipairs {"f32", "f64"} do
  local a = tensor({1, 0 / 0, 7, 0 / 0, 2}, {dtype = dtype})
  is(a:argmax():item() .. a:argmin():item(), "22",
    dtype .. ": argmax and argmin find the first NaN")
  ok(a:max():item() ~= a:max():item() and a[a:argmax():item()]:item() ~= a:max():item(),
    dtype .. ": as max does")
  is(list(select(2, a:topk(3))), "2 4 3", dtype .. ": topk")
  is(list(select(2, a:sort())), "1 5 3 2 4", dtype .. ": sort: last")
  is(list(select(2, a:sort{descending = true})), "2 4 3 5 1", dtype .. ": descending: first")
  is(list(select(2, tensor.full({70}, 0 / 0, {dtype = dtype}):topk(70))):sub(1, 6), "1 2 3 ",
    dtype .. ": in their order")
end
local sorted, places = tensor{3, 1, 2}:sort()
is(list(sorted) .. " " .. list(places), "1.0 2.0 3.0 2 3 1", "sort")
is(list(tensor{{1, 2}, {3, 4}}:gather(2, tensor({{2}, {1}}, {dtype = "i32"}))), "2.0 3.0",
  "gather(dim, index), from 1")
is(list(tensor{{1, 2}, {3, 4}}:gather(2, tensor{{1, 2}, {3, 4}}:argmax(2, true))), "2.0 4.0",
  "gather takes what argmax gives")
is(list(x:gt(1):where(x, 0)), "0.0 2.0 3.0", "where with a number")
near(x:softmax(1):sum():item(), 1, 1e-6, "softmax")
is(list(tensor{{1, 2}, {3, 4}}:matmul(tensor{1, 1})), "3.0 7.0", "matmul")
is(tensor.add(x, y):sum():item(), 21, "methods are functions too")
local u, s, vh = tensor.svd(tensor{{3, 0}, {0, 4}})
is(list(s), "4.0 3.0", "svd")

-- values out
is(x:table()[3], 3.0, "table")
is(x:hash(), tensor{1, 2, 3}:hash(), "equal bytes, equal hash")
is(#x:hash(), 16, "hash: 16 digits")
is(tensor{{1, 2}, {3, 4}}:transpose(1, 2):hash(), tensor{{1, 3}, {2, 4}}:hash(),
  "hash is of the logical order")
ok(x:allclose(x + 1e-7) and not x:allclose(x + 0.1), "allclose")
ok(not tensor{0 / 0}:equal(tensor{0 / 0}), "NaN equals nothing")
is(tostring(tensor{1.5}:sum()), "1.5", "tostring of a scalar")
ok(tostring(tensor{1, 0 / 0}):find "NaN 1", "tostring counts NaN")
ok(#tostring(tensor.zeros(1000, 1000)) < 4000, "tostring elides")

-- What is not 0 does not print as 0.
local function elements(x) return (tostring(x):match "\n(.*)":gsub("%s+", " "):match "^ ?(.*)$") end
is(elements(tensor{1e-8, 1, 1e8}), "1.0000e-08 1.0000e+00 1.0000e+08", "magnitudes far apart")
is(elements(tensor{1e-8, 1, 100.5}), "1.0e-08 1.0000 100.5000",
  "one small element among ordinary ones")
is(elements(tensor{1.5e-8, 2e-8, -1e-7}), "0.1500 0.2000 -1.0000",
  "small ones alike have a scale in common")
ok(tostring(tensor{1.5e-8, 2e-8, -1e-7}):find("× 1e-7", 1, true), "which is told")
is(elements(tensor{2.5e6, 0.5}), "2.5000e+06 5.0000e-01", "a large one beside an ordinary one")
is(elements(tensor{1, 1e8}), "1 100000000", "whole numbers are whole")
is(elements(tensor{0 / 0, 1e-8, 1, 1 / 0, -1 / 0}), "nan 1.0e-08 1.0000 inf -inf",
  "beside NaN and infinity")
is(elements(tensor({1e-300, 1e300}, {dtype = "f64"})), "1.0000e-300 1.0000e+300", "the ends of f64")
is(elements(tensor{{1, 0.5}, {2, 1e-9}}), "1 0.5000 2 1.0e-09", "columns")
for seed = 1, 20 do -- whatever the exponents
  local x = tensor.randn(30, {seed = seed}) * 10 ^ (tensor.rand(30,
    {seed = seed + 100}) * (seed * 3) - seed * 1.5)
  local shown, all = 0, true
  for word in elements(x):gmatch "%S+" do
    shown = shown + 1
    all = all and tonumber(word) ~= 0
  end
  ok(shown == 30 and all, "no element of 30 shows as 0, seed " .. seed, tostring(x))
end
local big = tensor.zeros(2, {dtype = "i64"})
big[1] = 9007199254740993
is(elements(big), "9007199254740993 0", "integers print exactly")
is(tostring(tensor{16777220}:sum()), "16777220", "a scalar that is whole")
is(tostring(tensor{1 / 3}:sum()), "0.33333334", "with the digits that tell it from its neighbours")
is(tostring(tensor{0.1}:sum()), "0.1", "and no more")

-- gradients
local w = tensor.randn(3, 3, {seed = 2}):grad(true)
is(w.grad, nil, "no gradient yet")
a:matmul(w):sum():backward()
ok(w.grad:allclose(tensor.ones(1, 4):matmul(a):view(3, 1) * tensor.ones(1, 3), 1e-4,
  1e-5), "w.grad")
local once = w.grad:clone()
a:matmul(w):sum():backward()
ok(w.grad:allclose(once * 2), "backward adds")
w.grad = nil
is(w.grad, nil, "w.grad = nil")
is(w:detach().requires_grad, false, "detach")
local v = tensor.randn(4, {seed = 5}):grad(true)
v[2]:backward()
is(list(v.grad), "0.0 1.0 0.0 0.0", "indexing has a gradient")
ok(tensor.gradcheck(function(p, q) return (p * q):tanh() end,
  {tensor.randn(3, {seed = 1}), tensor.randn(3, {seed = 2})}) < 1e-6,
  "gradcheck of a right gradient")
local engine = require "switchyard.engine"
ok(tensor.gradcheck(function(p) return p * p:detach() end, {tensor.ones(3)}) > 0.1,
  "gradcheck finds a wrong one")

-- equality, rows
ok(tensor{1, 2} == tensor{1, 2} and tensor{1, 2} ~= tensor{1, 3} and tensor{1, 2} ~= tensor{{1, 2}},
  "== of tensors is of their elements")
ok(tensor.ones(2, 3).shape == tensor.zeros(2, 3).shape and tensor.ones(2, 3).shape ~= tensor.ones(3,
  2).shape, "== of shapes")
local rows = {}
for i, row in pairs(tensor{{1, 2}, {3, 4}}) do rows[i] = list(row) end
is(table.concat(rows, " "), "1.0 2.0 3.0 4.0", "pairs goes through the rows")

-- files
local path = t.scratch "saved"
for _, ending in ipairs{".npy", ".safetensors"} do
  is(a:save(path .. ending), true, "save " .. ending)
  ok(tensor.load(path .. ending):equal(a), "load " .. ending)
end
tensor.save({one = x, two = y:view(3, 1)}, path .. ".safetensors")
local both = tensor.load(path .. ".safetensors")
ok(both.one:equal(x) and shape(both.two) == "3x1", "several tensors in a file")
local nothing, message, code = tensor.load "no such file.npy"
ok(nothing == nil and message:find "no such file" and code == "NOTFOUND",
  "the world's failures return nil, message, code")

-- the machine
is(tensor.threads(2), 2, "threads")
local name, peak = tensor.cpu()
ok(type(name) == "string" and peak > 1e8, "cpu")

-- mistakes name the line that made them
local where = debug.getinfo(1, "l").currentline + 1
local good, why = pcall(function() return x:matmul(tensor.ones(5)) end)
ok(not good and why:find("tensor.lua:" .. where .. ": matmul: ", 1, true), "errors name the line")
raises(function() x:sum{dims = 1} end,
  "sum: unknown option 'dims' (did you mean 'dim'?); options: dim, keep")
raises(function() x:sum(2) end, "no dimension 2")
raises(function() return x[4] end, "index: 4 is outside 1..3")
raises(function() for _ in ipairs(x) do end end, "pairs(a) ends at the last, ipairs(a) does not")
raises(function() return x.sum(1) end,
  "sum: x must be a tensor: it is 1: x:sum(dim=all, keep=false) -> y")
raises(function() return tensor.ones(2, 2):T() end, "a tensor cannot be called")
raises(function() tensor.zeros(2, {dtyp = 1}) end, "unknown option 'dtyp' (did you mean 'dtype'?)")
raises(function() return x.nothing end, "no field or method 'nothing'")

-- garbage: 40 GB of tensors come and go
if not os.getenv "SY_TEST_FAST" then
  for _ = 1, 1000 do local _ = tensor.zeros(10, 1024, 1024) end
  ok(tensor.memory().live < 4e9, "the collector keeps up with tensors")
end

t.done()
