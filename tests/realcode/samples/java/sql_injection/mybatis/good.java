package com.shop.mapper;

import org.apache.ibatis.annotations.*;
import java.util.List;

@Mapper
public interface GoodsMapper {
    @Select("SELECT * FROM goods WHERE name LIKE CONCAT('%', #{name}, '%') ORDER BY id")
    List<Goods> search(@Param("name") String name);
}
