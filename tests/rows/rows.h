/* Hyper-parameters of a program that has more of them: one for each of what a change in a live run
 * does. */
#define SY_HYPER_EXTRA(X)                                                                          \
    X(glow, false, 0, 10, 2.5, NEXT, STEPS, "a row of a test that holds at once")                  \
    X(quiet_glow, false, 0, 10, 1, NEXT, NONE,                                                     \
      "a row of a test that changes nothing that is learned")                                      \
    X(shape_glow, true, 1, 64, 4, PLAN, STEPS, "a row of a test that shapes")                      \
    X(fixed_glow, true, 0, 100, 7, NEVER, NONE, "a row of a test that stays")                      \
    X(dim_glow, true, 0, 1, 0, NEXT, NONE, "a row of a test that is true or false")
