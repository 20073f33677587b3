"""How sessions and tasks go on: the steps that the state machines invoke, what an agent's messages cause, and what
sets right what fell between.

Two rules hold everywhere here. *Fact first, then wake*: who wants a state to move writes the fact into the table and
then wakes whatever token stands there; who enters a waiting state stores its token and then looks for the fact. One of
the two always sees the other. *The table decides*: why a state was woken is a hint, what follows is read.
"""
