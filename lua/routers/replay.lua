-- The choices of a recorded trace, forced in training; all else as in the router that made them.

local nn = require "switchyard.model.nn"
local trace = require "switchyard.model.routing_trace"

-- Of experts that the router left out when the trace was made none is chosen.
local function without_left(r, kept, rows)
  if not r.fewer then return r end
  r.experts = kept:where(r.experts, tensor.zeros(rows.shape, {dtype = "i32"}))
  return r
end

-- Where a text is written one token at a time nobody knows what was before: then, and where this is
-- compared with the whole text, the router is what it is.
local function route_text(f, ctx)
  if ctx.mode == "train" then
    error(("the trace '%s' is of a text of %d tokens, which is forced in evaluation alone: a step "
      .. "of training draws others; nn.record makes a trace of a run"):format(f.path,
      f.tokens.size), 0)
  end
  if ctx.mode ~= "eval" or nn.description().as_written then return trace.route_by(f.of, ctx) end
  local rows = trace.rows_of_text(f, ctx)
  ctx._told = rows:abs():cast "i32"
  return without_left(trace.route_by(f.of, ctx), rows:ge(0), rows)
end

return {
  name = "replay",
  rule = "the experts that a trace has; gates by the router that made it",
  doc = "In training each token goes to the experts that it went to when the trace was recorded "
    .. "(nn.record), step by step and micro-batch by micro-batch; gates and losses are computed by "
    .. "the router of the trace, so with the same seed and data the run is the recorded one, bit "
    .. "for bit. Evaluation and generation choose as that router does, and all that the model does "
    .. "not say is as with it. A trace of other experts, K, batch, accumulate, of fewer steps or "
    .. "one that begins behind step 1 is refused, and so is r.steps behind its end. A trace of a "
    .. "text (trace(m, text):save) is forced in evaluation (m:loss, m:logits, trace): each token "
    .. "of a row that is the text's, as are all before it, goes where it went; all others, and "
    .. "generation, go by the router. It is refused in training.",
  source = "routing replay, 2510.11370; Megatron-LM",
  rows = {{"path", "string", "", help = "file of the trace"}},
  positional = "path",
  gives = "",
  except = {alone = "it needs a trace"},
  like = function(o)
    if o.path == "" then error("path is missing: the file of a trace (nn.record)", 0) end
    return trace.stands_for(trace.read(o.path).of)
  end,
  check = function(E, K, o)
    local f = trace.read(o.path)
    return trace.misfit(f, E, K) or trace.wrong_router(f.of, E, K)
  end,
  route = function(ctx)
    local f = trace.of(ctx.options.path)
    if f.tokens then return route_text(f, ctx) end
    if ctx.mode ~= "train" then return trace.route_by(f.of, ctx) end
    local rows = trace.rows(f, ctx)
    ctx._forced = rows:abs():cast "i32"
    return without_left(trace.route_by(f.of, ctx), rows:gt(0), rows)
  end,
}
