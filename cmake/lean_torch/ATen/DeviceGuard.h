// Stands before LibTorch's header of this name, which every per-operator header includes and none needs: it
// costs every file that sees it a second or two. ATHANOR_WHOLE_ATEN brings the real one.
#pragma once
#ifdef ATHANOR_WHOLE_ATEN
#include_next <ATen/DeviceGuard.h>
#endif
