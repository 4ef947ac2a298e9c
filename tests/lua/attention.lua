-- Attention with what is added to its scores and with weights that are dropped, as the operation
-- has it: f32 against f64, refusals, a cache against the whole sequence.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is
local engine = require "switchyard.engine"
local raw = engine.raw

local B, T, S, H, G, D = 2, 37, 70, 4, 2, 16

local function randn(seed, ...) return tensor.randn({...}, {seed = seed}) end
local function off(a, b) return (a:cast("f64") - b):abs():max():item() end

-- ---- dropped weights: f32 and f64 draw the same ----

do
  local q, k, v = randn(1, B, T, H, D), randn(2, B, S, G, D), randn(3, B, S, G, D)
  local bias, key = randn(4, H, 2 * S - 1), raw.draw_key()
  local o = {mask = 0, scale = 1, drop = 0.4, bias = bias, key = key}
  local y = q:attention(k, v, o)
  o.bias = bias:cast "f64"
  local want = q:cast("f64"):attention(k:cast "f64", v:cast "f64", o)
  ok(off(y, want) < 1e-4, "dropped weights: f32 is f64 but for its rounding")
  o.key = raw.draw_key()
  ok(off(y, q:cast("f64"):attention(k:cast "f64", v:cast "f64", o)) > 1e-2, "another key, others")
  -- of a mean over many draws nothing is missing
  local one, many = tensor.ones(1, 1, 1, D), tensor.ones(1, 4096, 1, D)
  local mean = one:attention(many, many, {mask = 0, drop = 0.25, key = key}):mean():item()
  ok(math.abs(mean - 1) < 0.05, ("what is kept is scaled: %.3f"):format(mean))
end

-- ---- a cache gives what the whole sequence gives, bit for bit ----

do
  local N = 40
  local q, k, v = randn(5, 1, N, H, D), randn(6, 1, N, G, D), randn(7, 1, N, G, D)
  local bias = randn(8, H, 2 * 64 - 1)
  local whole = q:attention(k, v, {mask = 1, scale = 1, bias = bias})
  local ck, cv = tensor.zeros(1, 64, G, D), tensor.zeros(1, 64, G, D)
  local same = true
  for t = 1, N do
    local at = function(x) return x:narrow(2, t, 1):contiguous() end
    local y = raw.attention_cached(at(q), at(k), at(v), ck, cv, tensor({t}, {dtype = "i32"}), bias,
      {scale = 1})
    same = same and (y - at(whole)):abs():max():item() == 0
  end
  ok(same, "one token after another: the bits of the whole")
end

-- ---- refused ----

local function refused(name, o, want)
  local q, k = randn(1, B, T, H, D), randn(2, B, S, G, D)
  local fine, why = pcall(q.attention, q, k, k, o)
  ok(not fine and tostring(why):find(want, 1, true), name .. ": " .. tostring(why))
end
refused("bias of too few distances", {mask = 0, bias = randn(1, H, 2 * S - 3)}, "(H, 2R-1)")
refused("bias without a middle", {mask = 0, bias = randn(1, H, 2 * S)}, "(H, 2R-1)")
refused("bias of other heads", {mask = 0, bias = randn(1, G, 2 * S - 1)}, "(H, 2R-1)")
refused("drop without a key", {mask = 0, drop = 0.1}, "needs a key")
refused("drop of all", {mask = 0, drop = 1, key = raw.draw_key()}, "below 1")

tap.done()
