-- Methods that are compositions (lua/tensor/compose.lua and what it opens), each: its values, its
-- gradient against finite differences, the same of strided inputs, recorded in a graph, on any
-- number of threads and every kernel set.  A row without a case fails.  TAP.  With "worker" as
-- argument: print a hash of all results (a child process).

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is, near, refuses = tap.ok, tap.is, tap.near, tap.refuses
local engine = require "switchyard.engine"

local function list(x)
  if type(x) == "number" then return tostring(x) end
  local items = x:contiguous():view(x.size):table()
  for i, v in ipairs(items) do
    items[i] = type(v) == "number" and ("%.6g"):format(v) or tostring(v)
  end
  return table.concat(items, " ")
end
local function shape(x) return table.concat(x.shape, "x") end

local function ints(t) return tensor(t, {dtype = "i32"}) end
local m, v, w = tensor.arange(6):view(2, 3), tensor{3, 1, 2}, tensor{1, -2, 4}
local cube = tensor.randn(2, 3, 4, {seed = 5})
local mask = tensor{{true, false, true}, {false, true, false}}

-- {name, f, inputs, shape and values, values = false: they are data's, no graph; smooth = false: no
-- gradient}
local cases = {
  {"reshape", function(x) return x:reshape(3, -1) end, {m}, "3x2 0 1 2 3 4 5"},
  {"flatten", function(x) return x:flatten() end, {m}, "6 0 1 2 3 4 5"},
  {"flatten", function(x) return x:flatten(2, -1) end, {cube}, "2x12"},
  {"flatten", function(x) return x:flatten{last = 2} end, {cube}, "6x4"},
  {"squeeze", function(x) return x:unsqueeze(1):unsqueeze(-1):squeeze() end, {m},
   "2x3 0 1 2 3 4 5"},
  {"squeeze", function(x) return x:unsqueeze(2):squeeze(2) end, {m}, "2x3 0 1 2 3 4 5"},
  {"unsqueeze", function(x) return x:unsqueeze(-1) end, {m}, "2x3x1 0 1 2 3 4 5"},
  {"unsqueeze", function(x) return x:unsqueeze(2) end, {m}, "2x1x3 0 1 2 3 4 5"},
  {"cat", function(a, b) return tensor.cat({a, b, a}, 2) end, {m, m},
   "2x9 0 1 2 0 1 2 0 1 2 3 4 5 3 4 5 3 4 5"},
  {"cat", function(a, b) return tensor.cat{a, b, a, b, a} end, {v, w},
   "15 3 1 2 1 -2 4 3 1 2 1 -2 4 3 1 2"},
  {"cat", function(a, b) return a:cat(b) end, {v, w}, "6 3 1 2 1 -2 4"},
  {"stack", function(a, b) return tensor.stack{a, b} end, {v, w}, "2x3 3 1 2 1 -2 4"},
  {"stack", function(a, b) return tensor.stack({a, b, a}, -1) end, {v, w},
   "3x3 3 1 3 1 -2 1 2 4 2"},
  {"split", function(x) return tensor.cat(x:split(2)) * tensor{1, 2, 3} end, {v}, "3 3 2 6"},
  {"split", function(x) return x:split({1, 2}, 2)[2] end, {m}, "2x2 1 2 4 5"},
  {"chunk", function(x) return x:chunk(2)[1] end, {v}, "2 3 1"},
  {"chunk", function(x) return x:chunk(3, {dim = -1})[3] end, {cube}, "2x3x1"},
  {"tile", function(x) return x:tile(2, 3) end, {v}, "2x9 3 1 2 3 1 2 3 1 2 3 1 2 3 1 2 3 1 2"},
  {"tile", function(x) return x:tile(2) end, {m}, "2x6 0 1 2 0 1 2 3 4 5 3 4 5"},
  {"tile", function(x) return x:tile{2, 1, 3} end, {cube}, "4x3x12"},
  {"flip", function(x) return x:flip(1) end, {m}, "2x3 3 4 5 0 1 2"},
  {"flip", function(x) return x:flip(-1, 1) end, {m}, "2x3 5 4 3 2 1 0"},
  {"roll", function(x) return x:roll(1) end, {m}, "2x3 5 0 1 2 3 4"},
  {"roll", function(x) return x:roll(-1, 2) end, {m}, "2x3 1 2 0 4 5 3"},
  {"std", function(x) return x:std() end, {v}, " 1"},
  {"std", function(x) return x:std(-1, true, 0) end, {m}, "2x1 0.816497 0.816497"},
  {"std", function(x) return x:std{dim = 2, correction = 0} end, {cube}, "2x4"},
  {"norm", function(x) return x:norm() end, {tensor{3, 4}}, " 5"},
  {"norm", function(x) return x:norm(2, 1) end, {tensor{{3, 0}, {4, 0}}}, "2 5 0"},
  {"norm", function(x) return x:norm(1, -1, true) end, {w}, "1 7"},
  {"norm", function(x) return x:norm(math.huge) end, {w}, " 4"},
  {"norm", function(x) return x:norm(3) end, {tensor{3, 4, 5}}, " 6"},
  {"norm", function(x) return x:norm(0) end, {tensor{3, 0, 5}}, " 2", smooth = false},
  {"any", function(x) return x:any(2) end, {tensor{{0, 0}, {0, 3}}}, "2 false true",
   smooth = false},
  {"any", function(x) return x:any() end, {tensor.zeros(0)}, " false", smooth = false},
  {"all", function(x) return x:all(1, true) end, {tensor{{1, 0}, {2, 3}}}, "1x2 true false",
   smooth = false},
  {"all", function(x) return x:all() end, {tensor.zeros(0)}, " true", smooth = false},
  {"logical_and", function(a, b) return a:gt(1) & b end, {v, tensor{0, 1, 1}}, "3 false false true",
   smooth = false},
  {"logical_or", function(a, b) return a:gt(2) | b end, {v, tensor{0, 1, 0}}, "3 true true false",
   smooth = false},
  {"logical_xor", function(a, b) return a:gt(1) ~ b end, {v, tensor{1, 1, 0}}, "3 false true true",
   smooth = false},
  {"isnan", function(x) return ~x:isnan() end, {tensor{1, 0 / 0, 1 / 0}}, "3 true false true",
   smooth = false},
  {"isinf", function(x) return x:isinf() end, {tensor{1, 0 / 0, -1 / 0}}, "3 false false true",
   smooth = false},
  {"isfinite", function(x) return x:isfinite() end, {tensor{1, 0 / 0, -1 / 0}},
   "3 true false false", smooth = false},
  {"masked_fill", function(x) return x:masked_fill(mask, -1) end, {m}, "2x3 -1 1 -1 3 -1 5"},
  {"masked_select", function(x) return x:masked_select(mask) end, {m}, "3 0 2 4", values = false},
  {"masked_select", function(x) return x[tensor{false, true}] end, {m}, "1x3 3 4 5",
   values = false},
  {"index_select", function(x) return x:index_select(ints{2, 1, 2}) end, {m},
   "3x3 3 4 5 0 1 2 3 4 5"},
  {"index_select", function(x) return x:index_select({3, 1}, 2) end, {m}, "2x2 2 0 5 3"},
  {"nonzero", function(x) return x:nonzero() end, {tensor{{0, 2}, {3, 0}}}, "2x2 1 2 2 1",
   values = false, smooth = false},
  {"unique", function(x) return (x:unique()) end, {tensor{2, 1, 2}}, "2 1 2", values = false,
   smooth = false},
  {"unique", function(x) return select(2, x:unique()) end, {tensor{2, 1, 2}}, "2 1 2",
   values = false, smooth = false},
  {"slice", function(x) return x:slice(2, 1, -1, 2) end, {m}, "2x2 0 2 3 5"},
  {"slice", function(x) return x:slice(1, 2) end, {v}, "2 1 2"},
  {"slice", function(x) return x[{{}, {2, 3}}] end, {m}, "2x2 1 2 4 5"},
  {"slice", function(x) return x[{2}] end, {m}, "3 3 4 5"},
  {"slice", function(x) return x[{{-1}, 3}] end, {m}, "1 5"},
  {"slice", function(x) return x[{{1, 2}, {}, {1, -1, 3}}] end, {cube}, "2x3x2"},
  {"index_select", function(x) return x[{{}, ints{3, 3}}] end, {m}, "2x2 2 2 5 5"},
  {"index_select", function(x) return x[ints{{3, 1}, {2, 2}}] end, {v}, "2x2 2 3 1 1"},
  {"index_select", function(x) return x[engine.tracing() and ints{3, 1} or tensor{3, 1}] end,
   {v}, "2 2 3"},
  {"dot", function(a, b) return a:dot(b) end, {v, w}, " 9"},
  {"outer", function(a, b) return a:outer(b) end, {v, tensor{1, 2}}, "3x2 3 6 1 2 2 4"},
  {"diag", function(x) return x:diag() end, {m}, "2 0 4"},
  {"diag", function(x) return x:diag(2) end, {m}, "1 2"},
  {"diag", function(x) return x:diag(-1) end, {m}, "1 3"},
  {"diag", function(x) return x:diag(1) end, {tensor{1, 2}}, "3x3 0 1 0 0 0 2 0 0 0"},
  {"diag", function(x) return x:diag(-1) end, {tensor{1, 2}}, "3x3 0 0 0 1 0 0 0 2 0"},
  {"diag", function(x) return x:diag() end, {tensor{1, 2}}, "2x2 1 0 0 2"},
  {"trace", function(x) return x:trace() end, {m}, " 4"},
  {"tril", function(x) return x:tril() end, {m}, "2x3 0 0 0 3 4 0"},
  {"tril", function(x) return x:tril(1) end, {cube}, "2x3x4"},
  {"triu", function(x) return x:triu(-1) end, {m}, "2x3 0 1 2 3 4 5"},
  {"triu", function(x) return x:triu(1) end, {m}, "2x3 0 1 2 0 0 5"},
  {"zeros_like", function(x) return tensor.zeros_like(x) end, {m}, "2x3 0 0 0 0 0 0",
   smooth = false},
  {"ones_like", function(x) return tensor.ones_like(x, {dtype = "i32"}) end, {v}, "3 1 1 1",
   smooth = false},
  {"full_like", function(x) return tensor.full_like(x, 7) end, {v}, "3 7 7 7", smooth = false},
  {"linspace", function() return tensor.linspace(-1, 1, 5) end, {}, "5 -1 -0.5 0 0.5 1",
   smooth = false},
  {"einsum", function(a, b) return tensor.einsum("ij,kj->ik", a, b) end, {m, m}, "2x2 5 14 14 50"},
  {"einsum", function(a, b) return tensor.einsum("bij,bjk->bik", a, b) end,
   {cube, cube:transpose()}, "2x3x3"},
  {"einsum", function(a, b) return tensor.einsum("bij,kj->bki", a, b) end,
   {cube, tensor.randn(5, 4, {seed = 2})}, "2x5x3"},
  {"einsum", function(a) return tensor.einsum("ij->ji", a) end, {m}, "3x2 0 3 1 4 2 5"},
  {"einsum", function(a) return tensor.einsum("ij->", a) end, {m}, " 15"},
  {"einsum", function(a) return tensor.einsum("ii->i", a) end, {tensor{{1, 2}, {3, 4}}}, "2 1 4"},
  {"einsum", function(a) return tensor.einsum("ii", a) end, {tensor{{1, 2}, {3, 4}}}, " 5"},
  {"einsum", function(a, b) return tensor.einsum("i,j->ij", a, b) end, {v, tensor{1, 2}},
   "3x2 3 6 1 2 2 4"},
  {"einsum", function(a, b) return tensor.einsum("i , i", a, b) end, {v, w}, " 9"},
  {"einsum", function(a, b) return tensor.einsum("ij,j->ij", a, b) end, {m, v}, "2x3 0 1 4 9 4 10"},
  {"einsum", function(a, b, c) return tensor.einsum("i,ij,j->", a, b, c) end,
   {tensor{1, 2}, m, v}, " 51"},
  {"einsum", function(a, b) return tensor.einsum("bhtd,bhsd->bhts", a, b) end,
   {tensor.randn(2, 2, 3, 4, {seed = 1}), tensor.randn(2, 2, 5, 4, {seed = 2})}, "2x2x3x5"},
  {"einsum", function(a, b) return tensor.einsum("ij,ij->", a, b) end,
   {ints{{1, 2}, {3, 4}}, ints{{1, 2}, {3, 4}}}, " 30", smooth = false},
  {"mod", function(a, b) return a % b end, {tensor{-5, 5, 5.5}, tensor{3, -3, 2}}, "3 1 -1 1.5"},
  {"idiv", function(a, b) return a // b end, {tensor{-5, 5, 5.5}, tensor{3, -3, 2}}, "3 -2 -2 2",
   smooth = false},
}

-- ---- hashes for another process ----

local function flat_hash()
  local parts = {}
  for i, case in ipairs(cases) do
    local inputs = {}
    for k, x in ipairs(case[3]) do inputs[k] = x.dtype == "f32" and (x * 1.1):grad(true) or x end
    local good, y = pcall(case[2], table.unpack(inputs))
    parts[i] = good and type(y) == "userdata" and y:hash() or tostring(y)
    if good and case.smooth ~= false then
      y:square():sum():backward()
      parts[i] = parts[i] .. inputs[1].grad:hash()
    end
  end
  return table.concat(parts)
end

if arg[1] == "worker" then
  print("hash " .. tensor.zeros(1):hash() .. flat_hash())
  return
end

-- ---- each case ----

local function strided(x)
  if x.ndim < 2 then return tensor.stack({x, x}, -1):narrow(-1, 1, 1):squeeze(-1) end
  return x:transpose():contiguous():transpose()
end

local function recorded(f, inputs)
  local places, y = {}, nil
  local graph = engine.record("fp32", function(g)
    for i, x in ipairs(inputs) do places[i] = g:input("x" .. i, x.dtype, x.shape) end
    y = f(table.unpack(places)):contiguous()
  end)
  local program = engine.program(graph, {y})
  for i, x in ipairs(inputs) do engine.copy(places[i], x:contiguous()) end
  program:run()
  return engine.clone(y)
end

local seen = {}
for i, case in ipairs(cases) do
  local name, f, inputs, want = case[1], case[2], case[3], case[4]
  local title = ("%s, case %d"):format(name, i)
  seen[name] = true
  local good, y = pcall(f, table.unpack(inputs))
  if not ok(good, title .. " runs", y) then goto next end
  local text = shape(y) .. " " .. list(y)
  ok(want:find " " and text == want or not want:find " " and shape(y) == want,
    title .. ": " .. want, text)
  if case.smooth ~= false then
    local error_ = tensor.gradcheck(f, inputs)
    ok(error_ < 1e-6, title .. ": gradient", error_)
  end
  local other = {}
  for k, x in ipairs(inputs) do other[k] = strided(x) end
  ok(list(f(table.unpack(other))) == list(y) and f(table.unpack(other)).dtype == y.dtype,
    title .. ": strided")
  if case.values == false then
    refuses(function() return recorded(f, inputs) end, title .. ": refused in a graph",
      "only recorded")
  elseif #inputs > 0 then
    local fine, z = pcall(recorded, f, inputs)
    ok(fine and z:hash() == y:hash() and shape(z) == shape(y), title .. ": in a graph",
      fine and list(z) or z)
  end
  ::next::
end
for _, e in ipairs(require("switchyard.tensor.compose").docs()) do
  local name = e.name:match "[%w_]+$"
  if not seen[name] then ok(false, name .. " has a case") end
end

-- Shapes are anybody's, truth and places too.
for _, dtype in ipairs {"f64", "bf16", "i32", "i64", "u8", "bool"} do
  local x = tensor({{1, 0, 1}, {0, 1, 1}}, {dtype = dtype})
  for _, f in ipairs {function(a) return a:reshape(3, 2):flatten() end,
                      function(a) return a:tile(2, 2) end, function(a) return a:flip(2) end,
                      function(a) return a:roll(1) end, function(a) return tensor.stack{a, a} end,
                      function(a) return a:chunk(2)[1] end,
                      function(a) return a[{{}, {1, 3, 2}}] end,
                      function(a) return a[a:cast "bool"] end,
                      function(a) return a:index_select({2, 1}, 2) end,
                      function(a) return a:diag() end, function(a) return a.T end} do
    local good, y = pcall(f, x)
    ok(good and y.dtype == dtype and list(y:cast "f64") == list(f(x:cast "f64")),
      "a composition of " .. dtype, good and list(y) or y)
  end
end

-- ---- threads and instruction sets ----

local function child(cpu, threads)
  local text = tap.worker(cpu, threads)
  return text:match "hash (%x+.*)\n", text:match "[^\n]*"
end
local alone = child("ref", 1)
ok(alone and #alone > 1000, "hashes of all")
for _, case in ipairs {{"ref", 3}, {"avx2", 1}, {"avx512", 2}} do
  local got, line = child(case[1], case[2])
  local title = ("all on %s with %d threads"):format(case[1], case[2])
  if not got then tap.skip(title, line) else is(got, alone, title) end
end

-- ---- in a model that trains ----

model.define("composed", function(cfg)
  return function(ids)
    local C, V = cfg.dim, cfg.vocab
    local embed = nn.param("embed", {V, C})
    local x = nn.embedding(ids, embed)
    local T = x.shape[2]
    local q = tensor.einsum("btc,dc->btd", x, nn.param("q", {C, C}))
    local scores = tensor.einsum("btd,bsd->bts", q, x) / math.sqrt(C)
    scores = scores:masked_fill(~tensor.ones(T, T):tril():gt(0), -1e9)
    local y = tensor.einsum("bts,bsc->btc", scores:softmax(-1), x)
    local halves = y:chunk(2, -1)
    y = tensor.cat({halves[2], halves[1]}, -1) + x[{{}, {}, {1, -1, 1}}]
    return nn.head(y / (y:std(-1, true) + 1e-3) + y:roll(1, -1) * (y % 1), embed)
  end
end, {{"dim", "integer", 16}, {"vocab", "vocab", 256}, {"context", "integer", 16},
      {"seed", "integer", 1}})

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local function trained(threads, name)
  tensor.threads(threads)
  local run = train(model.composed{vocab = d.vocab}, d,
    {steps = 12, batch = 4, context = 16, lr = 3e-3, eval_every = 0,
                                                        checkpoint_every = 5, name = name}):wait()
  return run.state .. " " .. run:hash(), run
end
local one_thread, first_run = trained(1, "composed-1")
is(trained(2, "composed-2"), one_thread,
  "a model of compositions trains to the same bits on two threads")
ok(first_run.state == "done" and first_run.loss < first_run:history "loss"[1][2], "and learns")
first_run:rewind(7):resume():wait()
is("done " .. first_run:hash(), one_thread, "and again from a rewind")

-- ---- writing ----

local a = tensor.zeros(3, 4)
a[{{}, 2}] = 1
a[{2, {3, 4}}] = tensor{5, 6}
a[{{1, 3, 2}, -1}] = 9
is(list(a), "0 1 0 9 0 1 5 6 0 1 0 9", "ranges are written")
a[a:gt(4)] = -1
is(list(a), "0 1 0 -1 0 1 -1 -1 0 1 0 -1", "where a mask is true")
a[tensor{1, 3}] = tensor{1, 2, 3, 4}
is(list(a), "1 2 3 4 0 1 -1 -1 1 2 3 4", "rows at places")
a[a:lt(0)] = tensor{7, 8}
is(list(a), "1 2 3 4 0 1 7 8 1 2 3 4", "a mask takes a value for each place")
a[tensor{false, true, false}] = 0
is(list(a[2]), "0 0 0 0", "a mask of rows")
local t = a:transpose()
t[t:eq(4)] = 40
is(list(a[1]), "1 2 3 40", "through a view whose elements do not lie in order")
a[{{1, 2}}] = a[{{2, 3}}]
is(list(a), "0 0 0 0 1 2 3 40 1 2 3 40", "from itself, overlapping")
a[1] = 5
is(list(a[1]), "5 5 5 5", "a row takes a number")
a[1] = tensor{6}
is(list(a[1]), "6 6 6 6", "and what broadcasts")
local square = tensor{{1, 2}, {3, 4}}
square:fill(square:transpose())
is(list(square), "1 3 2 4", "fill from a view of itself")
local whole = tensor.zeros(2, {dtype = "i64"})
whole[1] = 9007199254740993
is(whole[1], 9007199254740993, "an integer that no double holds is written and read")
is(whole:view(2, 1):tile(1, 2):transpose()[1][1], 9007199254740993, "also of a strided tensor")
ok(not tensor.equal(whole, whole - 1), "and told from its neighbour")
is(tensor({9007199254740993}, {dtype = "i64"})[1], 9007199254740993, "in a table")
is(tensor.full({2, 2}, 9007199254740993, {dtype = "i64"})[2][2], 9007199254740993, "in tensor.full")
is(list(tensor.arange(3, 0, -1, {dtype = "u8"})) .. list(tensor.arange(0, {dtype = "i32"})),
  "3 2 1", "ranges of integers")
local leaf = tensor.ones(3):grad(true)
leaf[{{2, 3}}] = 4
is(list(leaf), "1 4 4", "a leaf with a gradient")

-- ---- what is not defined is refused ----

local x23, i3 = tensor.arange(6):view(2, 3), tensor.zeros(3, {dtype = "i32"})
for _, case in ipairs {
  {function() return x23:reshape(4, 2) end,
   "reshape: view: shape (4, 2) does not hold the 6 elements of (2, 3)"},
  {function() return x23:squeeze(1) end,
   "squeeze: dimension 1 has 2 elements: the tensor is (2, 3)"},
  {function() return x23:unsqueeze(4) end, "unsqueeze: no dimension 4: the tensor is (2, 3)"},
  {function() return x23:flatten(2, 1) end, "flatten: dimension 1 stands before 2"},
  {function() return tensor.stack{x23, tensor.ones(2)} end,
   "stack: shapes differ: element 1 is (2, 3), element 2 is (2)"},
  {function() return tensor.stack{} end, "stack: the list has no tensors"},
  {function() return tensor.cat({x23, tensor.ones(2, 2)}, 1) end,
   "cat: shapes differ beside dimension 1"},
  {function() return x23:split{1, 2} end,
   "split: the sizes add up to 3: dimension 1 of (2, 3) has 2"},
  {function() return x23:chunk(0) end, "chunk: n must be at least 1: it is 0"},
  {function() return x23:std{dims = 1} end, "std: unknown option 'dims' (did you mean 'dim'?)"},
  {function() return x23:std(1, true, 2) end, "std: var: correction is 2, of 2 elements"},
  {function() return i3:norm() end, "norm: x is i32, must be f32 or f64"},
  {function() return x23:norm(-1) end, "norm: p must be a number of at least 0: it is -1"},
  {function() return x23:masked_select(tensor{true}) end,
   "masked_select: shapes differ: x is (2, 3), mask is (1)"},
  {function() return x23[{3, 1}] end, "index: 3 is outside 1..2: selector 1, the tensor is (2, 3)"},
  {function() return x23[{1, 1, 1}] end, "index: 3 selectors: the tensor is (2, 3)"},
  {function() return x23[{{2, 5}}] end,
   "index: slice: 2 to 5 is outside 1..2: dimension 1 of (2, 3)"},
  {function() return x23[{{2, 1, -1}}] end,
   "index: slice: step must be at least 1: it is -1; x:flip(dim) reverses"},
  {function() return x23[tensor{1.5}] end, "index: places must be whole numbers"},
  {function() return x23[tensor{3}] end, "index: index_select: index 3 is outside 1..2"},
  {function() return x23:gather(2, ints{{4}, {1}}) end, "gather: index 4 is outside 1..3"},
  {function() return x23[{"a"}] end,
   "index: selector 1 must be a number, a range {first, last} or a tensor: it is a string"},
  {function() x23[{{}, 1}] = tensor{1, 2, 3} end,
   "assign: shapes differ: left side is (2), right side is (3)"},
  {function() x23[tensor{5}] = 1 end, "assign: index: 5 is outside 1..2: the tensor is (2, 3)"},
  {function() x23[tensor{true}] = 1 end,
   "assign: shapes differ: the tensor is (2, 3), the mask (1)"},
  {function() i3[2] = 0.5 end, "assign: 0.5 does not fit into i32"},
  {function() i3[2] = 3e9 end, "assign: 3000000000 does not fit into i32"},
  {function() i3:fill(tensor{1, 2, 0.5}) end, "assign: 0.5 does not fit into i32"},
  {function() return tensor({1, 0.5}, {dtype = "i32"}) end, "tensor: 0.5 does not fit into i32"},
  {function() return tensor.full({2}, 300, {dtype = "u8"}) end, "full: 300 does not fit into u8"},
  {function() return tensor.arange(0, 1, 0.25, {dtype = "i32"}) end,
   "arange: 0.25 does not fit into i32"},
  {function() return tensor.arange(254, 258, 1, {dtype = "u8"}) end,
   "arange: 257 does not fit into u8"},
  {function() return tensor.arange(2 ^ 53, 2 ^ 53 + 3, 1, {dtype = "i64"}) end,
   "is beyond 2^53: elements would be rounded"},
  {function() return tensor.randint(0, 300, 5, {dtype = "u8"}) end,
   "randint: 300 does not fit into u8"},
  {function() return i3 % 0 end, "mod: integers divided by 0: element 1 of b"},
  {function() return i3 // i3 end, "idiv: integers divided by 0: element 1 of b"},
  {function() return tensor.einsum("ij,jk", x23, x23) end,
   "einsum: j is 3 and 2: operand 2 is (2, 3)"},
  {function() return tensor.einsum("ij->k", x23) end, "einsum: the result's k is in no operand"},
  {function() return tensor.einsum("ij,jk", x23) end,
   "einsum: 'ij,jk' names 2 operands, 1 were given"},
  {function() return tensor.einsum("...i", x23) end, "einsum: '...' is not understood"},
  {function() return tensor.linspace(0) end, "linspace: takes first, last and n"},
  {function() return tensor.ones(2).T end, "T: needs a matrix: the tensor is (2)"},
  {function() return x23:trace(1):foo() end, "no field or method 'foo'"},
} do
  refuses(case[1], case[#case], case[#case])
end
local line = debug.getinfo(1, "l").currentline
refuses(function()
  local y = x23:stack()
  return y
end, "the line of the mistake",
  ("tests/lua/compose.lua:%d: stack: takes a list of tensors, tensor.stack({a, b}, dim): it is "
  .. "a tensor"):format(line + 2))
is(list(i3), "0 0 0", "and nothing was written")
near(tensor{0, 0}:grad(true):norm():item(), 0, 0, "the norm of nothing")
local z = tensor.zeros(2):grad(true)
z:norm():backward()
is(list(z.grad), "0 0", "whose gradient is 0, not NaN")
ok(tensor.gradcheck(function(x) return x:prod(2) end,
  {tensor{{1, 0, 3}, {0, 0, 2}, {1, 2, 3}}}) < 1e-6, "the gradient of a product with zeros")

-- Long sums: a float would stand still.
is(tensor.ones(2 ^ 24 + 10):cumsum()[-1], 2.0 ^ 24 + 10, "a running sum past 2^24")
near((tensor.randn(1e6, {seed = 1}) + 1000):var():item(),
  (tensor.randn(1e6, {seed = 1}) + 1000):cast "f64":var():item(), 1e-5,
     "a variance far from 0")

tap.done()
