"""One model in every engine that this machine can run, side by side: answers, speed, memory."""
