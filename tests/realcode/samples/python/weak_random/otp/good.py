from secrets import randbelow


class SecondFactor:
    def send(self, phone):
        self.otp = 100000 + randbelow(900000)
        phone.message(f"Your code is {self.otp}")
