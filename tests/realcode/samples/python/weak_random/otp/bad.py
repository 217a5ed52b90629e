from random import randint


class SecondFactor:
    def send(self, phone):
        self.otp = randint(100000, 999999)
        phone.message(f"Your code is {self.otp}")
