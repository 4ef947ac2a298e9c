-- The choices of a recorded trace, forced in training; all else as in the router that made them.

local trace = require "switchyard.model.routing_trace"

-- In the place of the K largest: what was chosen then, and the scores of these.
local function forced(experts)
  return function(_, scores) return scores:gather(-1, experts), experts end
end

return {
  name = "replay",
  rule = "the experts that a trace has; gates by the router that made it",
  doc = "In training each token goes to the experts that it went to when the trace was recorded "
    .. "(nn.record), step by step and micro-batch by micro-batch; gates and losses are computed by "
    .. "the router of the trace, so with the same seed and data the run is the recorded one, bit "
    .. "for bit. Evaluation and generation choose as that router does. Balance rules have their "
    .. "common defaults: what that router prefers is said by balance =. A trace of other experts, "
    .. "K, batch, accumulate or of fewer steps is refused.",
  source = "routing replay, 2510.11370; Megatron-LM",
  rows = {{"path", "string", "", help = "file of the trace"}},
  gives = "logits scores bias chance",
  except = {alone = "it needs a trace"},
  check = function(E, K, o)
    if o.path == "" then return "path is missing: the file of a trace (nn.record)" end
    local good, f = pcall(trace.read, o.path)
    if not good then return f end
    return trace.misfit(f, E, K) or trace.wrong_router(f.of, E, K)
  end,
  route = function(ctx)
    local f = trace.read(ctx.options.path)
    if ctx.mode ~= "train" then return trace.route_by(f.of, ctx) end
    local experts, asked = trace.rows(f, ctx), false
    local choose = forced(experts)
    ctx.choose = function(...)
      asked = true
      return choose(...)
    end
    local r = trace.route_by(f.of, ctx)
    ctx.choose = nil
    if not asked then
      error(("router '%s' does not choose by scores (ctx:choose), so nothing can be forced")
        :format(ctx._router.name), 0)
    end
    return r
  end,
}
