package net;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.jsontype.BasicPolymorphicTypeValidator;

class Json {
    static ObjectMapper mapper() {
        BasicPolymorphicTypeValidator allowed =
                BasicPolymorphicTypeValidator.builder().allowIfSubType("net.messages.").build();
        ObjectMapper mapper = new ObjectMapper();
        mapper.activateDefaultTyping(allowed, ObjectMapper.DefaultTyping.NON_FINAL);
        return mapper;
    }
}
