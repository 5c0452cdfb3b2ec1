"""Step patterns that several styles share; `ml.sample_library.grammar.Part` explains them."""

HATS_8 = "x.x.x.x.x.x.x.x."
BACKBEAT = "....X.......X..."
WHOLE = "x---------------"
HALVES = "x-------x-------"
EIGHTHS_LEAD = ("x-x-..x-x---x-..", "x---x-x-x-......", "..x-x-x-x-x-x---", "x-x-x-----..x-x-")
SLOW_LEAD = ("x-------x---x---", "x-----x-x-------", "....x---x-------", "x-----------x---")
BUSY_LEAD = ("xxx-x-xxx-x-x-..", "x-xxx-x-xxx-x---", "x-x-x-x-xxxxx---", "..xxx-x-x-xxx-x-")
