// Drawing a code from logits: the same rule as wavenet/model/distributions.py, so that equal uniforms give equal codes.

#pragma once

namespace wavenet {

struct Sampling {
    double temperature = 1;  // divides the logits; 0 takes the likeliest code
    int top_k = 0;           // keeps the k likeliest, of equal ones the lower; 0 keeps all
    double top_p = 1;        // keeps the fewest likeliest that hold this much probability; 1 keeps all
    double guidance = 1;     // logits = without + guidance (logits - without), for streams that have a `without`
};

}  // namespace wavenet
