-- Experts that are said: the same for every token, or by its place in the sequence.

local nn = require "switchyard.model.nn"
local routing = require "switchyard.model.routing"

-- "1,2 3,4" as {{1, 2}, {3, 4}}; nil and what is wrong.
local function read(text, E, K)
  local list = {}
  for word in text:gmatch "%S+" do
    local row, seen = {}, {}
    for number in (word .. ","):gmatch "([^,]*)," do
      local e = math.tointeger(tonumber(number))
      if not e or e < 1 or e > E then
        return nil, ("experts has '%s'; it must be a number from 1 to %d"):format(number, E)
      end
      if seen[e] then return nil, ("experts has %d twice for a token: '%s'"):format(e, word) end
      row[#row + 1], seen[e] = e, true
    end
    if #row ~= K then
      return nil, ("experts has %d for a token ('%s'); top_k is %d"):format(#row, word, K)
    end
    list[#list + 1] = row
  end
  if #list == 0 then
    return nil, "experts is missing: numbers with commas between, {\"forced\", experts = \"1,2\"}"
  end
  return list
end

return {
  name = "forced",
  rule = "the experts that are said; gates as those of softmax",
  doc = "Experts that are said: experts = \"1,2\" for every token; \"1,2 3,4\" by the token's "
    .. "place in the sequence, over and over. The gates are those that softmax gives to them, made "
    .. "to sum to 1 (normalize=false or K = 1: not), and are learned.",
  positional = "experts",
  balance = {aux = 0, z = 0},
  rows = {routing.NORMALIZE, {"experts", "string", "",
    help = "K numbers from 1 with commas between; several with spaces between: by place"}},
  except = {order = "they are said", ties = "they are said"},
  check = function(E, K, o) return select(2, read(o.experts, E, K)) end,
  route = function(ctx)
    local list = tensor(read(ctx.options.experts, ctx.E, ctx.K), {dtype = "f32"})
    local places = ctx:positions() % list.shape[1]
    local row = list:embedding(places):view(1, ctx.T, ctx.K):expand({ctx.B, ctx.T, ctx.K})
    local experts = ctx:take(row:contiguous():view(ctx.N, ctx.K):cast "i32")
    local p = ctx:logits():softmax(-1)
    local gates = p:gather(-1, experts)
    if ctx.options.normalize ~= false then gates = nn.normalize_gates(gates, 1e-20) end
    return {gates = gates, experts = experts, scores = p, fewer = true}
  end,
}
